//! Any sequence of writes, transactions, repetitions, flushes and restarts of a machine, held against the oracle: outcomes,
//! queries, index rows, the change table, old views, and the hash after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::input::Input;
use super::oracle::{Ask, Oracle, Wanted};
use super::sample::{Note, Person, Sample, catalog, entry, execute, flush, open, record_id};
use crate::command::{Action, Applied, Command, Entry, Outcome, Read, Refusal, Transaction};
use crate::machine::{Answer, Flush, Machine, Reply, Trial, verify};
use crate::schema::Record;
use crate::storage::{Change, Changes, Engine, MemoryEngine, Place, Selecting, View};

/// What is done at most: an input is worth no more.
const OPERATIONS_MAX: usize = 400;

pub fn operations(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new();
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        match input.byte() % 12 {
            0..=2 => world.write(&Wanted::made(&mut input)),
            3 => world.transact(&mut input),
            4 => world.repeat(input.byte()),
            5 | 6 => world.end_round(),
            7 => world.ask(&Ask::made(&mut input)),
            8 => world.begin_flush(),
            9 => world.end_flush(),
            10 => world.restart(input.flag()),
            _ => world.hold(),
        }
    }
    world.end();
}

struct World {
    engine: Arc<MemoryEngine>,
    machine: Machine,
    out: Option<Flush>,
    /// Every round.
    log: Vec<Entry>,
    /// As of the rounds that are applied, and with what the next one will do.
    applied: Oracle,
    next: Oracle,
    commands: Vec<Command>,
    replies: Vec<Reply>,
    number: u64,
    /// What was answered, by number.
    known: BTreeMap<u64, (Command, Outcome)>,
    changes: Vec<(Place, Change)>,
    held: Vec<(View, Oracle)>,
}

impl World {
    fn new() -> World {
        let engine = Arc::new(MemoryEngine::default());
        let machine = open(Arc::clone(&engine) as Arc<dyn Engine>);
        let mut world = World {
            engine,
            machine,
            out: None,
            log: Vec::new(),
            applied: Oracle::default(),
            next: Oracle::default(),
            commands: vec![Command::Open { nonce: [1; 16] }],
            replies: Vec::new(),
            number: 0,
            known: BTreeMap::new(),
            changes: Vec::new(),
            held: Vec::new(),
        };
        let opened = world.apply();
        assert!(matches!(opened[..], [Answer::Opened { nonce: [1, ..], session: super::sample::SESSION }]));
        world
    }

    /// The round that is being filled.
    fn round(&self) -> u64 {
        self.log.len() as u64 + 1
    }

    fn apply(&mut self) -> Vec<Answer> {
        let (round, entry) = (self.round(), entry(&self.commands));
        let answers = self.machine.apply(round, &entry).expect("memory reads");
        self.log.push(entry);
        self.commands.clear();
        answers
    }

    /// Adds a command to the round, with what it must be answered.
    fn add(&mut self, action: Action, outcome: Outcome, changes: impl IntoIterator<Item = Change>) {
        self.number += 1;
        // All outcomes stay known, so that any command may be repeated.
        let command = execute(self.number, 1, action);
        let round = self.round();
        let first = self.changes.iter().filter(|(place, _)| place.round == round).count();
        let places = (0..).map(|position: u32| Place { round, position }).skip(first);
        self.changes.extend(places.zip(changes));
        self.commands.push(command.clone());
        self.replies.push(Reply::Done(outcome.clone()));
        // A conflict is an outcome of the session like any other.
        self.known.insert(self.number, (command, outcome));
    }

    fn write(&mut self, wanted: &Wanted) {
        let (outcome, change) = self.next.apply(wanted, self.round());
        self.add(wanted.write().into(), outcome, change);
    }

    /// A transaction that reads as of the last applied round, with what the round being filled does before it.
    fn transact(&mut self, input: &mut Input<'_>) {
        let asks: Vec<Ask> = (0..input.byte() % 3).map(|_| Ask::made(input).whole()).collect();
        let name = input.optional(Input::text);
        let wanted: Vec<Wanted> = (0..input.byte() % 4).map(|_| Wanted::made(input)).collect();
        let lies = input.byte() == 255;

        let catalog = catalog();
        let glue = catalog.record(record_id::<Person>()).expect("it is in the schema");
        let mut trial = Trial::new(self.machine.views().view());
        let mut holds = true;
        for ask in &asks {
            let found = trial.query(&ask.query().plan::<Sample>(), glue).expect("memory reads");
            let expected = self.applied.select(ask);
            assert_eq!(decoded(&found), persons(&expected), "{ask:?}");
            holds &= expected == self.next.select(ask);
        }
        if let Some(name) = &name {
            let key = super::sample::key(&super::sample::person(name, None, None, 0));
            let found = trial.get(record_id::<Person>(), glue, &key).expect("memory reads");
            let before = self.applied.persons.get(name);
            assert_eq!(found.map(|value| decode(&value)), before.map(|(_, person)| person.clone()));
            holds &= before == self.next.persons.get(name);
        }
        let mut reads = trial.into_notes();
        if lies && let Some(Read::Record { round, .. }) = reads.first_mut() {
            *round += 1_000_000;
            holds = false;
        }
        let (outcome, changes) =
            if holds { self.next.apply_all(&wanted, self.round()) } else { (Err(Refusal::Conflict), Vec::new()) };
        let writes = wanted.iter().map(Wanted::write).collect();
        self.add(Action::Transact(Arc::new(Transaction { request: None, reads, writes })), outcome, changes);
    }

    /// A copy of a command that was sent before: it is answered alike, and does nothing.
    fn repeat(&mut self, which: u8) {
        let count = self.known.len().max(1);
        let Some((command, outcome)) = self.known.values().nth(usize::from(which) % count) else { return };
        self.commands.push(command.clone());
        self.replies.push(Reply::Done(outcome.clone()));
    }

    fn end_round(&mut self) {
        let answers = self.apply();
        let replies = std::mem::take(&mut self.replies);
        assert_eq!(answers.len(), replies.len());
        for (answer, expected) in answers.into_iter().zip(replies) {
            let Answer::Write { reply, .. } = answer else { panic!("no session was opened: {answer:?}") };
            assert_eq!(without_reason(reply), without_reason(expected));
        }
        self.applied = self.next.clone();
        assert_eq!(self.machine.applied(), self.log.len() as u64);
    }

    fn ask(&self, ask: &Ask) {
        look(&self.machine.views().view(), &self.applied, ask);
    }

    fn begin_flush(&mut self) {
        if self.out.is_none() {
            self.out = self.machine.begin_flush();
        }
    }

    fn end_flush(&mut self) {
        if let Some(out) = self.out.take() {
            let done = out.run().expect("memory takes it");
            drop(self.machine.end_flush(done).expect("it was out"));
        }
    }

    /// Opens what is durable anew, and replays the log from there.
    fn restart(&mut self, flush_arrives: bool) {
        let hash = self.machine.state().hash().expect("memory reads");
        if let Some(out) = self.out.take()
            && flush_arrives
        {
            drop(out.run().expect("memory takes it"));
        }
        self.machine = open(Arc::clone(&self.engine) as Arc<dyn Engine>);
        let durable = self.machine.applied();
        for (round, entry) in (1..).zip(&self.log).filter(|(round, _)| *round > durable) {
            self.machine.apply(round, entry).expect("memory reads");
        }
        assert_eq!(self.machine.state().hash().expect("memory reads"), hash, "after a restart from round {durable}");
    }

    fn hold(&mut self) {
        if self.held.len() < 4 {
            self.held.push((self.machine.views().view(), self.applied.clone()));
        }
    }

    fn end(mut self) {
        self.end_round();
        if self.out.is_some() {
            self.end_flush();
        }
        self.restart(false);
        for (view, oracle) in self.held.iter().chain([&(self.machine.views().view(), self.applied.clone())]) {
            same(view, oracle);
        }
        self.same_changes();
        flush(&mut self.machine);
        same(&self.machine.views().view(), &self.applied);
    }

    fn same_changes(&self) {
        let view = self.machine.views().view();
        let (mut from, mut found) = (Place::start_of(1), Vec::new());
        while from <= Place::after_round(view.applied()) {
            let Changes::Page { changes, next } = view.changes(from, 100).expect("memory reads") else {
                panic!("nothing is pruned of so little");
            };
            found.extend(changes);
            if next == from {
                break;
            }
            from = next;
        }
        assert_eq!(found, self.changes);
    }
}

/// All records, by each way to them, and no index row too many.
fn same(view: &View, oracle: &Oracle) {
    let catalog = catalog();
    let verified = verify(view, &catalog).expect("records and indexes agree");
    assert_eq!(verified.records, (oracle.persons.len() + oracle.notes.len()) as u64);
    let in_both = oracle
        .persons
        .values()
        .map(|(_, person)| 1 + u64::from(person.city.is_some()) + u64::from(person.email.is_some()));
    assert_eq!(verified.index_rows, in_both.sum::<u64>() + oracle.notes.len() as u64);
    for choice in [0, 9] {
        look(view, oracle, &Ask::made(&mut Input::new(&[choice])));
    }
    let glue = catalog.record(record_id::<Note>()).expect("it is in the schema");
    let rows = view.select(&Note::all().plan::<Sample>(), glue).expect("memory reads");
    let found: Vec<(u64, Note)> = rows
        .map(|row| row.expect("memory reads"))
        .map(|row| (row.round, Note::__decode(&row.value).expect("it was written")))
        .collect();
    assert_eq!(found, oracle.notes.values().cloned().collect::<Vec<_>>());
}

fn look(view: &View, oracle: &Oracle, ask: &Ask) {
    let catalog = catalog();
    let glue = catalog.record(record_id::<Person>()).expect("it is in the schema");
    let plan = ask.query().plan::<Sample>();
    let rows = view.select(&plan, glue).expect("memory reads").map(|row| row.expect("memory reads"));
    let found: Vec<(u64, Person)> = rows.map(|row| (row.round, decode(&row.value))).collect();
    let expected = oracle.select(ask);
    assert_eq!(found, expected, "{ask:?}");
    assert_eq!(view.count(&plan, glue).expect("memory reads"), expected.len() as u64, "{ask:?}");
    assert!(ask.limit().is_none_or(|limit| found.len() <= limit));
}

fn decode(value: &[u8]) -> Person {
    Person::__decode(value).expect("it was written")
}

fn decoded(values: &[bytes::Bytes]) -> Vec<Person> {
    values.iter().map(|value| decode(value)).collect()
}

fn persons(found: &[(u64, Person)]) -> Vec<Person> {
    found.iter().map(|(_, person)| person.clone()).collect()
}

/// Why something does not decode is bincode's affair.
fn without_reason(reply: Reply) -> Reply {
    match reply {
        Reply::Done(Err(Refusal::Undecodable { record, .. })) => {
            Reply::Done(Err(Refusal::Undecodable { record, reason: String::new() }))
        }
        Reply::Done(Ok(Applied { round, existed })) => Reply::Done(Ok(Applied { round, existed })),
        other => other,
    }
}
