//! Entries, restarts, foreign schemas and failed reads, on one machine in memory.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::*;
use crate::command::{Applied, Refusal, Write};
use crate::machine::fixture::{self, Person, catalog, entry, founders, put_note};
use crate::storage::{Engine, MemoryEngine, Rows, Snapshot, layout};

fn open(engine: Arc<dyn Engine>) -> Machine {
    Machine::open(Store::open(engine).expect("the store opens"), catalog(), founders()).expect("the machine opens")
}

pub(super) fn in_memory() -> Machine {
    open(Arc::new(MemoryEngine::default()))
}

pub(super) fn apply(machine: &mut Machine, commands: &[Command]) -> Vec<Answer> {
    let round = machine.applied() + 1;
    machine.apply(round, &entry(commands)).expect("memory reads")
}

pub(super) fn open_session(machine: &mut Machine) -> SessionId {
    match apply(machine, &[Command::Open { nonce: [7; 16] }])[..] {
        [Answer::Opened { nonce, session }] if nonce == [7; 16] => session,
        ref other => panic!("{other:?}"),
    }
}

fn flush(machine: &mut Machine) {
    let flush = machine.begin_flush().expect("something to flush");
    drop(machine.end_flush(flush.run().expect("it is written")).expect("it was out"));
}

pub(super) fn reply(answers: &[Answer]) -> Reply {
    match answers {
        [Answer::Write { reply, .. }] => reply.clone(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn done(round: u64, existed: bool) -> Reply {
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
    let commands: Vec<_> = (1..).zip(writes).map(|(number, write)| fixture::write(session, number, 1, write)).collect();
    let answers = apply(&mut machine, &commands);
    let taken = Refusal::UniqueViolation { record: fixture::person_id(), index: fixture::index("by_email") };
    let expected =
        [done(2, false), Reply::Done(Err(taken)), done(2, true), done(2, false), done(2, true), done(2, false)];
    for (number, (answer, reply)) in (1..).zip(answers.into_iter().zip(expected)) {
        assert_eq!(answer, Answer::Write { session, number, reply });
    }
}

#[test]
fn an_entry_applied_twice_happens_once() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let put = [fixture::write(session, 1, 1, Person::new(1, 10).insert())];
    assert_eq!(reply(&apply(&mut machine, &put)), done(2, false));
    assert_eq!(reply(&apply(&mut machine, &put)), done(2, false), "not AlreadyExists");
    let remove = [fixture::write(session, 2, 1, Person::remove(1))];
    assert_eq!(reply(&apply(&mut machine, &remove)), done(4, true));
    assert_eq!(reply(&apply(&mut machine, &put)), done(2, false), "and it stays removed");
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
    let answers = apply(&mut machine, &[close, fixture::write(session, 1, 1, put_note(1))]);
    assert_eq!(reply(&answers), Reply::SessionGone);
    assert_eq!(machine.views().view().get(&layout::record_key(fixture::note_id(), &[1])).expect("a get"), None);
}

#[test]
fn sessions_survive_a_restart_as_of_the_flush() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let mut machine = open(Arc::clone(&engine));
    let session = open_session(&mut machine);
    let first = [fixture::write(session, 1, 1, put_note(1))];
    apply(&mut machine, &first);
    let flush = machine.begin_flush().expect("something to flush");
    // Applied while the flush is out: not part of it.
    let second = [fixture::write(session, 2, 2, put_note(2))];
    assert_eq!(reply(&apply(&mut machine, &second)), done(3, false));
    let at_3 = machine.state_hash().expect("memory reads");
    drop(machine.end_flush(flush.run().expect("it is written")).expect("it was out"));
    assert_eq!((machine.applied(), machine.durable_round()), (3, 2));
    drop(machine);

    let mut machine = open(Arc::clone(&engine));
    assert_eq!(machine.applied(), 2);
    assert_eq!(reply(&apply(&mut machine, &second)), done(3, false), "executed: at round 2 it was not yet");
    assert_eq!(machine.state_hash().expect("memory reads"), at_3);
    assert_eq!(reply(&apply(&mut machine, &first)), Reply::Stale);
    flush_and_close(machine, session);

    let mut machine = open(engine);
    assert_eq!(reply(&apply(&mut machine, &second)), Reply::SessionGone, "its row was removed");
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
        assert!(matches!(machine.apply(round, &put), Err(Error::Storage { .. })), "{round}");
    }
    assert_eq!(machine.applied(), 1);
    assert!(machine.apply(2, &put).is_ok(), "the mistake changed nothing");
}

#[test]
fn a_body_that_does_not_decode_does_nothing() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let before = machine.state_hash().expect("memory reads");
    let good = entry(&[fixture::write(session, 1, 1, put_note(1))]);
    for body in [Bytes::new(), Bytes::from_static(b"garbage"), good.body.slice(..good.body.len() - 3)] {
        let round = machine.applied() + 1;
        assert_eq!(machine.apply(round, &Entry { id: good.id, body }).expect("total"), []);
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
    let absent = Write::Remove { record: fixture::note_id(), key: Bytes::from_static(b"-") };
    apply(&mut machine, &[fixture::write(session, 2, 2, absent)]);
    seen.push(hash(&machine));
    let state = machine.state();
    apply(&mut machine, &[Command::Close { session }]);
    seen.push(hash(&machine));
    for (at, hash) in seen.iter().enumerate() {
        assert!(!seen[..at].contains(hash), "{at}");
    }
    assert_eq!((state.applied(), state.hash().expect("memory reads")), (3, seen[3]), "it stays as of its round");
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
    fn write(&self, rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>, sync: bool) -> Result<(), StoreError> {
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
    ) -> Result<crate::storage::EngineRows<'a>, StoreError> {
        self.rows.scan(lower, upper, reverse)
    }
}

/// The session knew of the write, its row did not come: what goes on from there differs from other nodes.
#[test]
fn after_a_failed_read_nothing_is_applied_or_flushed() {
    let fails = Arc::new(AtomicBool::new(false));
    let engine = Failing { rows: MemoryEngine::default(), fails: Arc::clone(&fails) };
    let mut machine = open(Arc::new(engine));
    let session = open_session(&mut machine);
    let puts = [1, 2].map(|number| fixture::write(session, number.into(), 1, put_note(number)));
    fails.store(true, Ordering::Relaxed);
    assert!(matches!(machine.apply(2, &entry(&puts)), Err(Error::Storage { .. })));
    fails.store(false, Ordering::Relaxed);
    assert!(matches!(machine.apply(2, &entry(&puts)), Err(Error::Storage { .. })));
    assert_eq!(machine.applied(), 1);
    assert!(machine.begin_flush().is_none());
}

#[test]
fn another_schema_is_refused_and_new_records_are_remembered() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let reopen = |records| {
        let store = Store::open(Arc::clone(&engine)).expect("the store opens");
        let catalog = Catalog::new(records).expect("a catalog");
        let founders = Roster::founded([], catalog.newest());
        Machine::open(store, catalog, founders)
    };
    drop(reopen(&fixture::RECORDS[1..]).expect("a new store"));
    drop(reopen(&fixture::RECORDS).expect("one record more"));
    drop(reopen(&fixture::RECORDS[1..]).expect("and without it again"));
    let refused = reopen(&fixture::OTHER_RECORDS).map(drop);
    assert!(matches!(refused, Err(Error::SchemaMismatch { .. })), "{refused:?}");
}
