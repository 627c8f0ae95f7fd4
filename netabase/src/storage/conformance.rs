//! What every engine must do, run over each of them, with an ordered map as the oracle.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use tempfile::TempDir;

use super::layout::{self, META_FORMAT};
use super::{Engine, Flush, MemoryEngine, RedbEngine, Rows, Store, WriteSet};
use crate::Error;

type Oracle = BTreeMap<Bytes, Bytes>;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn write(engine: &dyn Engine, rows: &[(&str, Option<&str>)]) {
    let mut rows = rows.iter().map(|(key, value)| (bytes(key), value.map(bytes)));
    engine.write(&mut rows, true).expect("the engine takes the rows");
}

fn all(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    let snapshot = engine.snapshot().expect("a snapshot");
    let rows = snapshot.scan(Bound::Unbounded, Bound::Unbounded, false).expect("a scan");
    rows.collect::<Result<_, _>>().expect("rows")
}

fn writes_and_removes(engine: &dyn Engine) {
    assert_eq!(all(engine), []);
    write(engine, &[("a", Some("1")), ("b", Some("2")), ("", Some("empty"))]);
    write(engine, &[("a", None), ("absent", None), ("b", Some(""))]);
    assert_eq!(all(engine), [(bytes(""), bytes("empty")), (bytes("b"), bytes(""))]);
    let snapshot = engine.snapshot().expect("a snapshot");
    assert_eq!(snapshot.get(b"b").expect("a get"), Some(Bytes::new()));
    assert_eq!(snapshot.get(b"a").expect("a get"), None);
}

fn snapshots_stay_as_they_were(engine: &dyn Engine) {
    write(engine, &[("a", Some("1"))]);
    let before = engine.snapshot().expect("a snapshot");
    write(engine, &[("a", Some("2")), ("b", Some("3"))]);
    assert_eq!(before.get(b"a").expect("a get"), Some(bytes("1")));
    assert_eq!(before.get(b"b").expect("a get"), None);
    assert_eq!(engine.snapshot().expect("a snapshot").get(b"a").expect("a get"), Some(bytes("2")));
}

fn scans_every_kind_of_bounds(engine: &dyn Engine) {
    let keys = ["a", "aa", "b", "ba", "c"];
    write(engine, &keys.map(|key| (key, Some(key))));
    let snapshot = engine.snapshot().expect("a snapshot");
    let places = ["", "a", "a0", "aa", "b", "bb", "c", "d"];
    let bounds = |place: &'static str| [Bound::Included(place.as_bytes()), Bound::Excluded(place.as_bytes())];
    let bounds: Vec<_> = places.into_iter().flat_map(bounds).chain([Bound::Unbounded]).collect();
    for lower in &bounds {
        for upper in &bounds {
            for reverse in [false, true] {
                let mut expected: Vec<&str> = keys
                    .into_iter()
                    .filter(|key| std::ops::RangeBounds::<[u8]>::contains(&(*lower, *upper), key.as_bytes()))
                    .collect();
                if reverse {
                    expected.reverse();
                }
                let rows = snapshot.scan(*lower, *upper, reverse).expect("a scan");
                let found: Vec<Bytes> = rows.map(|row| row.expect("a row").0).collect();
                assert_eq!(found, expected, "{lower:?} {upper:?} reverse {reverse}");
            }
        }
    }
}

fn a_store_refuses_rows_of_another_program(engine: Arc<dyn Engine>) {
    write(&*engine, &[("some", Some("row"))]);
    assert!(matches!(Store::open(engine), Err(Error::DataDirectory { .. })));
}

fn a_store_refuses_a_format_that_it_does_not_know(engine: Arc<dyn Engine>) {
    drop(Store::open(Arc::clone(&engine)).expect("an empty engine becomes a store"));
    let newer = (layout::meta_key(META_FORMAT), Some(Bytes::copy_from_slice(&(layout::FORMAT + 1).to_be_bytes())));
    engine.write(&mut std::iter::once(newer), true).expect("a write");
    assert!(matches!(Store::open(engine), Err(Error::DataDirectory { .. })));
}

macro_rules! conformance {
    ($engine:ident, $new:expr) => {
        mod $engine {
            use super::*;

            #[test]
            fn writes_and_removes() {
                super::writes_and_removes(&$new);
            }
            #[test]
            fn snapshots_stay_as_they_were() {
                super::snapshots_stay_as_they_were(&$new);
            }
            #[test]
            fn scans_every_kind_of_bounds() {
                super::scans_every_kind_of_bounds(&$new);
            }
            #[test]
            fn a_store_refuses_rows_of_another_program() {
                super::a_store_refuses_rows_of_another_program(Arc::new($new));
            }
            #[test]
            fn a_store_refuses_a_format_that_it_does_not_know() {
                super::a_store_refuses_a_format_that_it_does_not_know(Arc::new($new));
            }
        }
    };
}

conformance!(in_memory, MemoryEngine::default());
conformance!(on_redb, RedbEngine::open_backend(InMemoryBackend::new()).expect("an empty backend opens"));

#[cfg(feature = "sled")]
conformance!(on_sled, super::super::sled::tests::Scratch::new());

/// A store under test, with what it must hold now and after a restart.
struct Subject {
    reopen: Box<dyn FnMut() -> Store>,
    store: Option<Store>,
    flush: Option<Flush>,
    rows: Oracle,
    flushing: Oracle,
    durable: Oracle,
}

impl Subject {
    fn new(mut reopen: impl FnMut() -> Store + 'static) -> Self {
        let store = Some(reopen());
        let (rows, flushing, durable) = Default::default();
        Subject { reopen: Box::new(reopen), store, flush: None, rows, flushing, durable }
    }

    fn step(&mut self, step: &Step) {
        let store = self.store.as_mut().expect("open between steps");
        match step {
            Step::Round(rows) => {
                let before = (store.view(), self.rows.clone());
                let round = store.applied() + 1;
                let mut draft = store.draft();
                for (key, value) in rows {
                    match value {
                        Some(value) => self.rows.insert(key.clone(), value.clone()),
                        None => self.rows.remove(key),
                    };
                    draft.write(WriteSet { rows: vec![(key.clone(), value.clone())], ..WriteSet::default() });
                }
                draft.install(round).expect("memory reads");
                assert_eq!(scan_all(&before.0, false), Vec::from_iter(before.1), "an older view changed");
            }
            Step::DroppedRound(rows) => store.draft().write(WriteSet { rows: rows.clone(), ..WriteSet::default() }),
            Step::BeginFlush => {
                if let Some(flush) = store.begin_flush() {
                    self.flushing = self.rows.clone();
                    self.flush = Some(flush);
                }
            }
            Step::EndFlush => {
                if let Some(flush) = self.flush.take() {
                    let done = flush.run([]).expect("a flush");
                    drop(store.end_flush(done).expect("the flush that is out"));
                    assert_eq!(store.durable_round(), flush.round());
                    self.durable = self.flushing.clone();
                }
            }
            Step::Reopen => {
                let durable = store.durable_round();
                // A store on disk is locked while anything holds it.
                self.flush = None;
                self.store = None;
                let store = (self.reopen)();
                assert_eq!((store.applied(), store.durable_round()), (durable, durable));
                self.store = Some(store);
                self.rows = self.durable.clone();
            }
        }
        self.check();
    }

    fn check(&self) {
        let view = self.store.as_ref().expect("open between steps").view();
        for key in keys() {
            assert_eq!(view.get(&key).expect("a get"), self.rows.get(&key).cloned());
        }
        let mut expected = Vec::from_iter(self.rows.clone());
        assert_eq!(scan_all(&view, false), expected);
        expected.reverse();
        assert_eq!(scan_all(&view, true), expected);
        for key in keys().filter(|key| key.len() == 2) {
            let (lower, upper) = (Bound::Excluded(&key[..]), Bound::Included(&b"\x01c\x01"[..]));
            let inside = |key: &Bytes| std::ops::RangeBounds::<[u8]>::contains(&(lower, upper), &key[..]);
            let expected: Vec<_> = self.rows.clone().into_iter().filter(|(key, _)| inside(key)).collect();
            let rows = view.scan(lower, upper, false).expect("a scan");
            assert_eq!(rows.collect::<Result<Vec<_>, _>>().expect("rows"), expected);
        }
    }
}

/// All but the meta rows.
fn scan_all(view: &impl Rows, reverse: bool) -> Vec<(Bytes, Bytes)> {
    let rows = view.scan(Bound::Unbounded, Bound::Excluded(&[0x0f]), reverse).expect("a scan");
    rows.collect::<Result<_, _>>().expect("rows")
}

#[derive(Clone, Debug)]
enum Step {
    Round(Vec<(Bytes, Option<Bytes>)>),
    DroppedRound(Vec<(Bytes, Option<Bytes>)>),
    BeginFlush,
    EndFlush,
    Reopen,
}

/// Few enough that overlays, flushes and the engine meet at the same keys all the time.
fn keys() -> impl Iterator<Item = Bytes> {
    (b'a'..b'f').flat_map(|first| {
        (0..4).map(move |last| Bytes::copy_from_slice(&[1, first, last][..if last == 0 { 2 } else { 3 }]))
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop::sample::select(keys().collect::<Vec<_>>());
    let value = prop::option::of(any::<u8>().prop_map(|byte| Bytes::from(vec![byte; usize::from(byte % 5)])));
    let rows = prop::collection::vec((key, value), 0..6);
    let step = prop_oneof![
        6 => rows.clone().prop_map(Step::Round),
        1 => rows.prop_map(Step::DroppedRound),
        2 => Just(Step::BeginFlush),
        2 => Just(Step::EndFlush),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    // A failing case prints its input and seed, and keeps the seed beside this file.
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_an_ordered_map_that_restarts_at_its_durable_round(steps in steps()) {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let mut memory = Subject::new(move || Store::open(Arc::clone(&engine)).expect("it opens"));
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("store.redb");
        let mut redb = Subject::new(move || {
            let engine = RedbEngine::open_file(&path).expect("the file opens");
            Store::open(Arc::new(engine)).expect("it opens")
        });
        #[cfg(feature = "sled")]
        let mut sled = {
            let path = directory.path().join("store.sled");
            Subject::new(move || {
                let engine = super::SledEngine::open_directory(&path).expect("the directory opens");
                Store::open(Arc::new(engine)).expect("it opens")
            })
        };
        for step in &steps {
            memory.step(step);
            redb.step(step);
            #[cfg(feature = "sled")]
            sled.step(step);
        }
    }
}
