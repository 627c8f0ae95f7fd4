//! A schema for the targets, and a machine over it: a unique index, an optional one, one over two fields, and a record with
//! a composite key.

use std::cell::OnceCell;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Action, BatchBuilder, Command, Entry, EntryId, MemberId, SessionId, Transaction, Write};
use crate::consensus::Addresses;
use crate::machine::{Machine, Roster, verify};
use crate::schema::{Catalog, Member, Plan, Record, RecordId};
use crate::storage::{Engine, MemoryEngine, Place, Rows, Selecting, Store, View};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, crate::NetabaseSchema)]
#[netabase(crate = "crate", index(name = "by_city_age", fields(city, age)))]
pub(super) struct Person {
    #[netabase(key)]
    pub(super) name: String,
    #[netabase(unique)]
    pub(super) email: Option<String>,
    #[netabase(index)]
    pub(super) city: Option<String>,
    pub(super) age: i16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, crate::NetabaseSchema)]
#[netabase(crate = "crate")]
pub(super) struct Note {
    #[netabase(key)]
    pub(super) topic: u8,
    #[netabase(key)]
    pub(super) title: String,
    #[netabase(index)]
    pub(super) tag: Vec<u8>,
}

#[derive(Clone, Debug, crate::NetabaseSchema)]
#[netabase(crate = "crate")]
#[allow(dead_code, reason = "it names the records of the schema, and is never made")]
pub(super) enum Sample {
    Person(Person),
    Note(Note),
}

/// The session that every machine of [`machine`] has.
pub(super) const SESSION: SessionId = SessionId { round: 1, position: 0 };
pub(super) const CLUSTER: [u8; 16] = [7; 16];

pub(super) fn catalog() -> Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| Catalog::of::<Sample>().expect("the schema is sound")).clone()
}

pub(super) fn member(byte: u8) -> MemberId {
    MemberId::new(vec![byte; 38])
}

pub(super) fn founders() -> Roster {
    Roster::founded([member(1), member(2)], catalog().newest())
}

pub(super) fn value<R: Record>(record: &R) -> Bytes {
    Bytes::from(record.__encode().expect("plain data encodes"))
}

pub(super) fn record_id<R: Member<Sample>>() -> RecordId {
    RecordId::of_member::<Sample, R>()
}

pub(super) fn put<R: Member<Sample>>(record: &R) -> Write {
    Write::Put { record: record_id::<R>(), value: value(record) }
}

pub(super) fn execute(number: u64, floor: u64, action: Action) -> Command {
    Command::Execute { session: SESSION, number, floor, action }
}

pub(super) fn person(name: &str, email: Option<&str>, city: Option<&str>, age: i16) -> Person {
    Person { name: name.to_owned(), email: email.map(str::to_owned), city: city.map(str::to_owned), age }
}

pub(super) fn note(topic: u8, title: &str, tag: &[u8]) -> Note {
    Note { topic, title: title.to_owned(), tag: tag.to_vec() }
}

/// An entry of as many of these commands as fit, which are all of a target's.
pub(super) fn entry(commands: &[Command]) -> Entry {
    let mut body = BatchBuilder::new();
    assert!(commands.iter().all(|command| body.push(&command.encode())), "a target's entries are small");
    entry_of(body.finish())
}

pub(super) fn entry_of(body: Bytes) -> Entry {
    Entry { id: EntryId::from_bytes([9; 24]), body }
}

pub(super) fn open(engine: Arc<dyn Engine>) -> Machine {
    let store = Store::open(engine).expect("what a store wrote is one");
    Machine::open(store, catalog(), founders()).expect("what a machine wrote is one")
}

/// A few commands of each kind, one list a round.
pub(super) fn rounds() -> Vec<Vec<Command>> {
    use crate::command::{Life, MemberRole, Reform, RequestId};
    let named = Transaction {
        request: Some(RequestId([3; 16])),
        reads: Vec::new(),
        writes: vec![put(&note(2, "t", b"x")), put(&person("cc", None, None, -1))],
    };
    let life = Life { incarnation: [5; 16], lapses: 1 };
    let reforms = [
        Reform::Invite { hash: [8; 32], role: MemberRole::Client, expires_at_ms: 1 << 40 },
        Reform::Admit { hash: [8; 32], member: member(4) },
        Reform::Present {
            member: member(1),
            life,
            addresses: vec!["/ip4/10.0.0.1/tcp/4710".into()],
            reads: catalog().newest(),
        },
    ];
    let mut rounds = vec![
        vec![Command::Open { nonce: [1; 16] }, Command::Open { nonce: [2; 16] }],
        vec![
            execute(1, 1, put(&person("aa", Some("a@x"), Some("Paris"), 30)).into()),
            execute(2, 1, put(&person("ab", Some("b@x"), Some("Paris"), 20)).into()),
            execute(3, 1, put(&note(1, "t", b"x")).into()),
            // Refused: the address is taken.
            execute(4, 3, put(&person("ac", Some("a@x"), None, 0)).into()),
        ],
        vec![
            execute(5, 5, Action::Transact(Arc::new(named))),
            execute(6, 5, Write::Remove { record: record_id::<Note>(), key: key(&note(1, "t", b"")) }.into()),
        ],
        vec![Command::Close { session: SessionId { round: 1, position: 1 } }],
    ];
    rounds.push((7..).zip(reforms).map(|(number, reform)| execute(number, 6, reform.into())).collect());
    rounds
}

pub(super) fn key<R: Record>(record: &R) -> Bytes {
    use crate::schema::Key;
    Bytes::from(record.key().to_bytes())
}

/// A machine that has applied [`rounds`], flushed but for the last.
pub(super) fn machine() -> Machine {
    let engine = MemoryEngine::default();
    engine.write(&mut rows().into_iter().map(|(key, value)| (key, Some(value))), true).expect("memory takes it");
    let mut machine = open(Arc::new(engine));
    machine.apply(machine.applied() + 1, &entry(&[])).expect("memory reads");
    machine
}

/// All rows of a store that has applied [`rounds`].
pub(super) fn rows() -> Vec<(Bytes, Bytes)> {
    thread_local! {
        static ROWS: OnceCell<Vec<(Bytes, Bytes)>> = const { OnceCell::new() };
    }
    ROWS.with(|rows| {
        let made = || {
            let engine = Arc::new(MemoryEngine::default());
            let mut machine = open(Arc::clone(&engine) as Arc<dyn Engine>);
            for (round, commands) in (1..).zip(rounds()) {
                machine.apply(round, &entry(&commands)).expect("memory reads");
            }
            flush(&mut machine);
            all_rows(&*engine)
        };
        rows.get_or_init(made).clone()
    })
}

pub(super) fn all_rows(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    let snapshot = engine.snapshot().expect("memory reads");
    let rows = snapshot.scan(Bound::Unbounded, Bound::Unbounded, false).expect("memory reads");
    rows.collect::<Result<_, _>>().expect("memory reads")
}

pub(super) fn flush(machine: &mut Machine) {
    if let Some(flush) = machine.begin_flush() {
        drop(machine.end_flush(flush.run().expect("memory takes it")).expect("it was out"));
    }
}

/// Everything that a node does with a store that it opens, whatever is in it. Nothing may panic; much may be refused.
pub(super) fn exercise(engine: Arc<dyn Engine>) {
    let Ok(store) = Store::open(engine) else { return };
    let Ok(mut machine) = Machine::open(store, catalog(), founders()) else { return };
    read(&machine.views().view());
    let _ = Addresses::default().members(machine.roster());
    let _ = machine.state().hash();
    for commands in rounds() {
        let Some(next) = machine.applied().checked_add(1) else { break };
        if machine.apply(next, &entry(&commands)).is_err() {
            break;
        }
    }
    let Some(out) = machine.begin_flush() else { return };
    if let Ok(done) = out.run() {
        drop(machine.end_flush(done).expect("it was out"));
        read(&machine.views().view());
    }
}

fn read(view: &View) {
    let catalog = catalog();
    let _ = verify(view, &catalog);
    for (record, glue) in catalog.records() {
        let indexes = glue.indexes.iter().map(|index| Some(crate::schema::IndexId::named(index.name)));
        for index in indexes.chain([None]) {
            let (lower, upper) = (Bound::Unbounded, Bound::Unbounded);
            let plan = Plan { record, index, lower, upper, limit: Some(20), reverse: false, after: None };
            if let Ok(rows) = view.select(&plan, glue) {
                rows.flatten().for_each(|row| drop((glue.rows)(&row.value)));
            }
            let _ = view.count(&plan, glue);
        }
    }
    let oldest = view.oldest_change().unwrap_or(0);
    for from in [Place::start_of(0), Place::start_of(oldest), Place { round: 3, position: 1 }] {
        let _ = view.changes(from, 1_000);
    }
    let _ = view.get(&[]);
}
