//! The same log gives the same bytes: on every engine, with flushes at any time, through restarts.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::fixture::{self, Person, catalog, entry, founders, put_note};
use super::machine::Flush;
use super::sessions::Limits;
use super::{Answer, Machine, StateHash};
use crate::command::{Action, Command, Digest, Entry, RangeRead, Read, RequestId, SessionId, Transaction, Write};
#[cfg(feature = "sled")]
use crate::storage::SledEngine;
use crate::storage::{Engine, MemoryEngine, RedbEngine, Store, Sum, layout};

fn open(engine: Arc<dyn Engine>, limits: Limits) -> Machine {
    let store = Store::open(engine).expect("the store opens");
    Machine::open_with(store, catalog(), founders(), limits).expect("the machine opens")
}

const SMALL: Limits = Limits { sessions_max: 4, outcomes_bytes_max: 2_000, requests_max: 3 };

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
        Replica { reopen: Box::new(reopen), engine: Some(engine), machine, flush: None }
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
                drop(machine.end_flush(flush.run().expect("it is written")).expect("it was out"));
            }
            Step::Restart => {
                let durable = machine.durable_round();
                // A store on disk is locked while anything holds it.
                (self.flush, self.machine, self.engine) = (None, None, None);
                let engine = (self.reopen)();
                let machine = open(Arc::clone(&engine), SMALL);
                assert_eq!(machine.applied(), durable);
                (self.engine, self.machine) = (Some(engine), Some(machine));
            }
        }
        let machine = self.machine.as_ref().expect("open between steps");
        if let Some(before) = machine.applied().checked_sub(1) {
            assert_eq!(machine.state_hash().expect("it reads"), expected[before as usize].1);
            let view = machine.views().view();
            assert_eq!(machine.sum(), Sum::of_view(&view).expect("it reads"), "kept up, it is what a walk gives");
        }
    }

    /// Goes to the end of the log, flushes, and gives all rows that the engine holds.
    fn finish(mut self, log: &[Entry], expected: &[(Vec<Answer>, StateHash)]) -> BTreeMap<Bytes, Bytes> {
        for step in log.iter().map(|_| Step::Apply).chain([Step::EndFlush, Step::BeginFlush, Step::EndFlush]) {
            self.step(&step, log, expected);
        }
        let snapshot = self.engine.expect("open").snapshot().expect("a snapshot");
        let rows = snapshot.scan(Bound::Unbounded, Bound::Unbounded, false).expect("a scan");
        rows.collect::<Result<_, _>>().expect("rows")
    }
}

/// Writes and transactions by sessions that may be open, of people who collide; sometimes bytes that are no batch.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let person = (1..6_u8, 1..7_u8, prop::option::of(1..4_u8), prop::option::of(1..4_u8))
        .prop_map(|(id, email, city, badge)| Person { id, email, city, badge, payload: vec![id; 4] });
    let write = prop_oneof![
        4 => person.clone().prop_map(|person| person.put()),
        2 => person.prop_map(|person| person.insert()),
        2 => (1..6_u8).prop_map(Person::remove),
        1 => (1..6_u8).prop_map(put_note),
        1 => Just(Write::Put { record: fixture::person_id(), value: Bytes::from_static(b"?") }),
    ];
    // Sessions are opened at positions 0 to 3 of the rounds in which they are, so some of these are.
    let session = (1..12_u64, 0..2_u32).prop_map(|(round, position)| SessionId { round, position });
    let read = (1..6_u8, 0..6_u64).prop_map(|(id, round)| Read::Record {
        record: fixture::person_id(),
        key: Bytes::copy_from_slice(&[id]),
        round,
    });
    let range = (0..3_u64, any::<bool>()).prop_map(|(rows, everything)| {
        let lower = layout::record_key(fixture::person_id(), if everything { &[] } else { &[5] });
        let (lower, upper) = (Bound::Included(lower), layout::successor(&layout::record_prefix(fixture::person_id())));
        // With the hash of nothing, which stands as long as there is nothing in the range.
        let mut hash = [0; 16];
        blake3::Hasher::new().finalize_xof().fill(&mut hash);
        let (record, seen) = (fixture::person_id(), Digest { rows, hash });
        Read::Range(RangeRead { record, index: None, lower, upper, hidden_by_ms: 0, seen })
    });
    let reads = prop::collection::vec(prop_oneof![3 => read, 1 => range], 0..3);
    let request = prop::option::of((1..6_u8).prop_map(|id| RequestId([id; 16])));
    let transaction = (request, reads, prop::collection::vec(write.clone(), 0..4))
        .prop_map(|(request, reads, writes)| Action::Transact(Arc::new(Transaction { request, reads, writes })));
    let action = prop_oneof![2 => write.prop_map(Action::Write), 1 => transaction];
    let command = prop_oneof![
        2 => any::<[u8; 16]>().prop_map(|nonce| Command::Open { nonce }),
        1 => session.clone().prop_map(|session| Command::Close { session }),
        9 => (session, 1..9_u64, 0..4_u64, action).prop_map(|(session, number, below, action)| {
            Command::Execute { session, number, floor: number.saturating_sub(below), action }
        }),
    ];
    let good = prop::collection::vec(command, 0..8).prop_map(|commands| entry(&commands));
    let garbage = prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| Entry { body: body.into(), ..entry(&[]) });
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
    fn the_same_log_gives_the_same_bytes(log in entries(), on_redb in steps(), on_sled in steps(), in_memory in steps()) {
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
        let rows = memory.finish(&log, &expected);
        prop_assert_eq!(&rows, &redb.finish(&log, &expected));
        #[cfg(feature = "sled")]
        {
            let path = directory.path().join("store.sled");
            let mut sled =
                Replica::new(move || Arc::new(SledEngine::open_directory(&path).expect("the directory opens")));
            for step in &on_sled {
                sled.step(step, &log, &expected);
            }
            prop_assert_eq!(&rows, &sled.finish(&log, &expected));
        }
        #[cfg(not(feature = "sled"))]
        drop(on_sled);
    }
}
