//! The same log gives the same bytes: on every engine, with flushes at any time, through restarts.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::fixture::{self, Person, catalog, entry, put_note};
use super::machine::Flush;
use super::sessions::Limits;
use super::{Answer, Machine, Reply, StateHash};
use crate::Error;
use crate::command::{Applied, Command, Entry, Refusal, SessionId, Write};
use crate::schema::Catalog;
use crate::store::{Engine, MemoryEngine, RedbEngine, Rows, Snapshot, Store, StoreError, layout};

fn open(engine: Arc<dyn Engine>, limits: Limits) -> Machine {
    let store = Store::open(engine).expect("the store opens");
    Machine::open_with(store, catalog(), limits).expect("the machine opens")
}

fn in_memory() -> Machine {
    open(Arc::new(MemoryEngine::default()), Limits::default())
}

fn apply(machine: &mut Machine, commands: &[Command]) -> Vec<Answer> {
    let round = machine.applied() + 1;
    machine
        .apply(round, &entry(commands))
        .expect("memory reads")
}

fn open_session(machine: &mut Machine) -> SessionId {
    match apply(machine, &[Command::Open { nonce: [7; 16] }])[..] {
        [Answer::Opened { nonce, session }] if nonce == [7; 16] => session,
        ref other => panic!("{other:?}"),
    }
}

fn flush(machine: &mut Machine) {
    let flush = machine.begin_flush().expect("something to flush");
    drop(
        machine
            .end_flush(flush.run().expect("it is written"))
            .expect("it was out"),
    );
}

fn reply(answers: &[Answer]) -> Reply {
    match answers {
        [Answer::Write { reply, .. }] => reply.clone(),
        other => panic!("{other:?}"),
    }
}

fn done(round: u64, existed: bool) -> Reply {
    Reply::Done(Ok(Applied { round, existed }))
}

#[test]
fn commands_of_one_entry_see_each_other() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let writes = [
        Person::new(1, 10).put(),
        Person::new(2, 10).put(),
        Person::new(1, 11).put(),
        Person::new(2, 10).put(),
        Person::remove(1),
        Person::new(1, 11).insert(),
    ];
    let commands: Vec<_> = (1..)
        .zip(writes)
        .map(|(number, write)| fixture::write(session, number, 1, write))
        .collect();
    let answers = apply(&mut machine, &commands);
    let taken = Refusal::UniqueViolation {
        record: fixture::person_id(),
        index: fixture::index("by_email"),
    };
    let expected = [
        done(2, false),
        Reply::Done(Err(taken)),
        done(2, true),
        done(2, false),
        done(2, true),
        done(2, false),
    ];
    for (number, (answer, reply)) in (1..).zip(answers.into_iter().zip(expected)) {
        assert_eq!(
            answer,
            Answer::Write {
                session,
                number,
                reply
            }
        );
    }
}

#[test]
fn an_entry_applied_twice_happens_once() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let put = [fixture::write(session, 1, 1, Person::new(1, 10).insert())];
    assert_eq!(reply(&apply(&mut machine, &put)), done(2, false));
    assert_eq!(
        reply(&apply(&mut machine, &put)),
        done(2, false),
        "not AlreadyExists"
    );
    let remove = [fixture::write(session, 2, 1, Person::remove(1))];
    assert_eq!(reply(&apply(&mut machine, &remove)), done(4, true));
    assert_eq!(
        reply(&apply(&mut machine, &put)),
        done(2, false),
        "and it stays removed"
    );
    let key = layout::record_key(fixture::person_id(), &[1]);
    assert_eq!(machine.views().view().get(&key).expect("a get"), None);
    // Twice within one entry, too.
    let twice = [put_note(1), put_note(1)].map(|write| fixture::write(session, 3, 3, write));
    let answers = apply(&mut machine, &twice);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_closed_session_writes_nothing() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let close = Command::Close { session };
    let answers = apply(
        &mut machine,
        &[close, fixture::write(session, 1, 1, put_note(1))],
    );
    assert_eq!(reply(&answers), Reply::SessionGone);
    assert_eq!(
        machine
            .views()
            .view()
            .get(&layout::record_key(fixture::note_id(), &[1]))
            .expect("a get"),
        None
    );
}

#[test]
fn sessions_survive_a_restart_as_of_the_flush() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let mut machine = open(Arc::clone(&engine), Limits::default());
    let session = open_session(&mut machine);
    let first = [fixture::write(session, 1, 1, put_note(1))];
    apply(&mut machine, &first);
    let flush = machine.begin_flush().expect("something to flush");
    // Applied while the flush is out: not part of it.
    let second = [fixture::write(session, 2, 2, put_note(2))];
    assert_eq!(reply(&apply(&mut machine, &second)), done(3, false));
    let at_3 = machine.state_hash().expect("memory reads");
    drop(
        machine
            .end_flush(flush.run().expect("it is written"))
            .expect("it was out"),
    );
    assert_eq!((machine.applied(), machine.durable_round()), (3, 2));
    drop(machine);

    let mut machine = open(Arc::clone(&engine), Limits::default());
    assert_eq!(machine.applied(), 2);
    assert_eq!(
        reply(&apply(&mut machine, &second)),
        done(3, false),
        "executed: at round 2 it was not yet"
    );
    assert_eq!(machine.state_hash().expect("memory reads"), at_3);
    assert_eq!(reply(&apply(&mut machine, &first)), Reply::Stale);
    flush_and_close(machine, session);

    let mut machine = open(engine, Limits::default());
    assert_eq!(
        reply(&apply(&mut machine, &second)),
        Reply::SessionGone,
        "its row was removed"
    );
}

fn flush_and_close(mut machine: Machine, session: SessionId) {
    flush(&mut machine);
    apply(&mut machine, &[Command::Close { session }]);
    flush(&mut machine);
    assert!(machine.begin_flush().is_none(), "nothing is left");
}

#[test]
fn only_the_next_round_is_applied() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let put = entry(&[fixture::write(session, 1, 1, put_note(1))]);
    for round in [0, 1, 3, u64::MAX] {
        assert!(
            matches!(machine.apply(round, &put), Err(Error::Storage { .. })),
            "{round}"
        );
    }
    assert_eq!(machine.applied(), 1);
    assert!(
        machine.apply(2, &put).is_ok(),
        "the mistake changed nothing"
    );
}

#[test]
fn a_body_that_does_not_decode_does_nothing() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let before = machine.state_hash().expect("memory reads");
    let good = entry(&[fixture::write(session, 1, 1, put_note(1))]);
    for body in [
        Bytes::new(),
        Bytes::from_static(b"garbage"),
        good.body.slice(..good.body.len() - 3),
    ] {
        let round = machine.applied() + 1;
        assert_eq!(
            machine
                .apply(round, &Entry { id: good.id, body })
                .expect("total"),
            []
        );
    }
    assert_eq!(machine.state_hash().expect("memory reads"), before);
    assert_eq!(machine.applied(), 4);
}

#[test]
fn the_hash_is_of_records_and_sessions_and_not_of_flushes() {
    let mut machine = in_memory();
    let hash = |machine: &Machine| machine.state_hash().expect("memory reads");
    let mut seen = vec![hash(&machine)];
    let session = open_session(&mut machine);
    seen.push(hash(&machine));
    apply(&mut machine, &[fixture::write(session, 1, 1, put_note(1))]);
    seen.push(hash(&machine));
    // Only the session changes: the note is not there.
    let absent = Write::Remove {
        record: fixture::note_id(),
        key: Bytes::from_static(b"-"),
    };
    apply(&mut machine, &[fixture::write(session, 2, 2, absent)]);
    seen.push(hash(&machine));
    let state = machine.state();
    apply(&mut machine, &[Command::Close { session }]);
    seen.push(hash(&machine));
    for (at, hash) in seen.iter().enumerate() {
        assert!(!seen[..at].contains(hash), "{at}");
    }
    assert_eq!(
        (state.applied(), state.hash().expect("memory reads")),
        (3, seen[3]),
        "it stays as of its round"
    );
    flush(&mut machine);
    assert_eq!(hash(&machine), seen[4]);
}

/// Memory that can be made to fail every read.
#[derive(Debug)]
struct Failing {
    rows: MemoryEngine,
    fails: Arc<AtomicBool>,
}

struct FailingSnapshot {
    rows: Arc<dyn Snapshot>,
    fails: Arc<AtomicBool>,
}

impl Engine for Failing {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let (rows, fails) = (self.rows.snapshot()?, Arc::clone(&self.fails));
        Ok(Arc::new(FailingSnapshot { rows, fails }))
    }
    fn write(
        &self,
        rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>,
        sync: bool,
    ) -> Result<(), StoreError> {
        self.rows.write(rows, sync)
    }
}

impl Snapshot for FailingSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err(StoreError::Failed("no disk".to_owned())),
            false => self.rows.get(key),
        }
    }
    fn scan<'a>(
        &'a self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<crate::store::EngineRows<'a>, StoreError> {
        self.rows.scan(lower, upper, reverse)
    }
}

/// The session knew of the write, its row did not come: what goes on from there differs from other nodes.
#[test]
fn after_a_failed_read_nothing_is_applied_or_flushed() {
    let fails = Arc::new(AtomicBool::new(false));
    let engine = Failing {
        rows: MemoryEngine::default(),
        fails: Arc::clone(&fails),
    };
    let mut machine = open(Arc::new(engine), Limits::default());
    let session = open_session(&mut machine);
    let puts = [1, 2].map(|number| fixture::write(session, number.into(), 1, put_note(number)));
    fails.store(true, Ordering::Relaxed);
    assert!(matches!(
        machine.apply(2, &entry(&puts)),
        Err(Error::Storage { .. })
    ));
    fails.store(false, Ordering::Relaxed);
    assert!(matches!(
        machine.apply(2, &entry(&puts)),
        Err(Error::Storage { .. })
    ));
    assert_eq!(machine.applied(), 1);
    assert!(machine.begin_flush().is_none());
}

#[test]
fn another_schema_is_refused_and_new_records_are_remembered() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let reopen = |records| {
        let store = Store::open(Arc::clone(&engine)).expect("the store opens");
        Machine::open(store, Catalog::new(records).expect("a catalog"))
    };
    drop(reopen(&fixture::RECORDS[1..]).expect("a new store"));
    drop(reopen(&fixture::RECORDS).expect("one record more"));
    drop(reopen(&fixture::RECORDS[1..]).expect("and without it again"));
    let refused = reopen(&fixture::OTHER_RECORDS).map(drop);
    assert!(
        matches!(refused, Err(Error::SchemaMismatch { .. })),
        "{refused:?}"
    );
}

const SMALL: Limits = Limits {
    sessions_max: 4,
    outcomes_bytes_max: 2_000,
};

#[derive(Clone, Debug)]
enum Step {
    Apply,
    BeginFlush,
    EndFlush,
    Restart,
}

/// A machine that goes through one log with flushes and restarts of its own.
struct Replica {
    reopen: Box<dyn FnMut() -> Arc<dyn Engine>>,
    engine: Option<Arc<dyn Engine>>,
    machine: Option<Machine>,
    flush: Option<Flush>,
}

impl Replica {
    fn new(mut reopen: impl FnMut() -> Arc<dyn Engine> + 'static) -> Replica {
        let engine = reopen();
        let machine = Some(open(Arc::clone(&engine), SMALL));
        Replica {
            reopen: Box::new(reopen),
            engine: Some(engine),
            machine,
            flush: None,
        }
    }

    fn step(&mut self, step: &Step, log: &[Entry], expected: &[(Vec<Answer>, StateHash)]) {
        let machine = self.machine.as_mut().expect("open between steps");
        match step {
            Step::Apply => {
                let applied = machine.applied() as usize;
                let Some(entry) = log.get(applied) else {
                    return;
                };
                let answers = machine.apply(applied as u64 + 1, entry).expect("it reads");
                assert_eq!(answers, expected[applied].0, "round {}", applied + 1);
            }
            Step::BeginFlush => self.flush = machine.begin_flush().or(self.flush.take()),
            Step::EndFlush => {
                let Some(flush) = self.flush.take() else {
                    return;
                };
                drop(
                    machine
                        .end_flush(flush.run().expect("it is written"))
                        .expect("it was out"),
                );
            }
            Step::Restart => {
                let durable = machine.durable_round();
                // A redb file is locked while anything holds it.
                (self.flush, self.machine, self.engine) = (None, None, None);
                let engine = (self.reopen)();
                let machine = open(Arc::clone(&engine), SMALL);
                assert_eq!(machine.applied(), durable);
                (self.engine, self.machine) = (Some(engine), Some(machine));
            }
        }
        let machine = self.machine.as_ref().expect("open between steps");
        if let Some(before) = machine.applied().checked_sub(1) {
            assert_eq!(
                machine.state_hash().expect("it reads"),
                expected[before as usize].1
            );
        }
    }

    /// Goes to the end of the log, flushes, and gives all rows that the engine holds.
    fn finish(
        mut self,
        log: &[Entry],
        expected: &[(Vec<Answer>, StateHash)],
    ) -> BTreeMap<Bytes, Bytes> {
        for step in log.iter().map(|_| Step::Apply).chain([
            Step::EndFlush,
            Step::BeginFlush,
            Step::EndFlush,
        ]) {
            self.step(&step, log, expected);
        }
        let snapshot = self.engine.expect("open").snapshot().expect("a snapshot");
        let rows = snapshot
            .scan(Bound::Unbounded, Bound::Unbounded, false)
            .expect("a scan");
        rows.collect::<Result<_, _>>().expect("rows")
    }
}

/// Writes by sessions that may be open, of people who collide; sometimes bytes that are no batch.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let person = (
        1..6_u8,
        1..7_u8,
        prop::option::of(1..4_u8),
        prop::option::of(1..4_u8),
    )
        .prop_map(|(id, email, city, badge)| Person {
            id,
            email,
            city,
            badge,
            payload: vec![id; 4],
        });
    let write = prop_oneof![
        4 => person.clone().prop_map(|person| person.put()),
        2 => person.prop_map(|person| person.insert()),
        2 => (1..6_u8).prop_map(Person::remove),
        1 => (1..6_u8).prop_map(put_note),
        1 => Just(Write::Put { record: fixture::person_id(), value: Bytes::from_static(b"?") }),
    ];
    // Sessions are opened at positions 0 to 3 of the rounds in which they are, so some of these are.
    let session = (1..12_u64, 0..2_u32).prop_map(|(round, position)| SessionId { round, position });
    let command = prop_oneof![
        2 => any::<[u8; 16]>().prop_map(|nonce| Command::Open { nonce }),
        1 => session.clone().prop_map(|session| Command::Close { session }),
        9 => (session, 1..9_u64, 0..4_u64, write).prop_map(|(session, number, below, write)| {
            fixture::write(session, number, number.saturating_sub(below), write)
        }),
    ];
    let good = prop::collection::vec(command, 0..8).prop_map(|commands| entry(&commands));
    let garbage = prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| Entry {
        body: body.into(),
        ..entry(&[])
    });
    prop::collection::vec(prop_oneof![15 => good, 1 => garbage], 1..30)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Apply),
        3 => Just(Step::BeginFlush),
        3 => Just(Step::EndFlush),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    // A failing case prints its input and seed, and keeps the seed beside this file.
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_same_log_gives_the_same_bytes(log in entries(), on_redb in steps(), in_memory in steps()) {
        let mut reference = open(Arc::new(MemoryEngine::default()), SMALL);
        let expected: Vec<_> = (1..)
            .zip(&log)
            .map(|(round, entry)| {
                let answers = reference.apply(round, entry).expect("memory reads");
                (answers, reference.state_hash().expect("memory reads"))
            })
            .collect();

        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let mut memory = Replica::new(move || Arc::clone(&engine));
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("store.redb");
        let mut redb = Replica::new(move || Arc::new(RedbEngine::open_file(&path).expect("the file opens")));
        for step in &in_memory {
            memory.step(step, &log, &expected);
        }
        for step in &on_redb {
            redb.step(step, &log, &expected);
        }
        prop_assert_eq!(memory.finish(&log, &expected), redb.finish(&log, &expected));
    }
}
