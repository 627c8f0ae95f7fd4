//! A record type by hand, and a store with its hub, for tests of watches.

use std::ops::Bound;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Event, Hub, Start, Watcher};
use crate::Error;
use crate::schema::{IndexGlue, IndexId, KeyForm, Plan, RecordGlue, RecordId, RecordRows};
use crate::storage::{Change, Engine, MemoryEngine, Place, Rows, Store, WriteSet, layout};

/// A value has up to two index keys: a length, the first, perhaps a length and the second, and something behind them.
pub(super) const GLUE: RecordGlue = RecordGlue {
    name: "note",
    version: 1,
    indexes: &[
        IndexGlue { name: "by_first", unique: false, form: || KeyForm::Bytes },
        IndexGlue { name: "by_second", unique: false, form: || KeyForm::Bytes },
    ],
    rows: |value| {
        let take = |value: &mut &[u8]| -> Option<Option<Vec<u8>>> {
            let (&length, rest) = value.split_first()?;
            *value = rest;
            if length == u8::MAX {
                return Some(None);
            }
            let (key, rest) = rest.split_at_checked(usize::from(length))?;
            *value = rest;
            Some(Some(key.to_vec()))
        };
        let mut rest = value;
        let index_keys = take(&mut rest).zip(take(&mut rest));
        let (first, second) = index_keys.ok_or_else(|| "too short".to_owned())?;
        Ok(RecordRows { key: Vec::new(), index_keys: vec![first, second] })
    },
    convert: |_| Err("there is one version".to_owned()),
    describe: || Err("not asked for".to_owned()),
    before: None,
    eventual: false,
};

/// How long an event may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const NOTE: RecordId = RecordId(7);

/// The value with these index keys.
pub(super) fn value(first: &[u8], second: Option<&[u8]>, payload: usize) -> Bytes {
    let mut value = vec![first.len() as u8];
    value.extend(first);
    match second {
        Some(second) => {
            value.push(second.len() as u8);
            value.extend(second);
        }
        None => value.push(u8::MAX),
    }
    value.resize(value.len() + payload, 0);
    value.into()
}

pub(super) fn plan(record: RecordId) -> Plan {
    let (lower, upper) = (Bound::Unbounded, Bound::Unbounded);
    Plan { record, index: None, lower, upper, limit: None, reverse: false, after: None }
}

/// Over the first index: exactly this key.
pub(super) fn with_first(key: &[u8]) -> Plan {
    let at = Bound::Included(key.to_vec());
    Plan { index: Some(IndexId::named("by_first")), lower: at.clone(), upper: at, ..plan(NOTE) }
}

/// A store in memory to which rounds are applied as the machine does, with its hub.
pub(super) struct Stage {
    engine: Arc<dyn Engine>,
    store: Store,
    applied: watch::Sender<u64>,
    pub(super) hub: Arc<Hub>,
}

impl Stage {
    pub(super) fn new(change_bytes_max: u64) -> Stage {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let store = Store::open_with(Arc::clone(&engine), change_bytes_max).expect("memory opens");
        let applied = watch::Sender::new(0);
        let hub = Hub::new(store.views(), applied.subscribe());
        Stage { engine, store, applied, hub }
    }

    pub(super) fn applied(&self) -> u64 {
        self.store.applied()
    }

    /// Applies a round: `None` removes. Gives the changes that watchers are to be told of.
    pub(super) fn apply(&mut self, writes: &[(u8, Option<Bytes>)]) -> Vec<(Place, Change)> {
        let round = self.store.applied() + 1;
        let mut draft = self.store.draft();
        let mut changes = Vec::new();
        for (key, after) in writes {
            let row_key = layout::record_key(NOTE, &[*key]);
            let before = draft.get(&row_key).expect("memory reads").and_then(|row| layout::split_record_value(&row));
            let key = Bytes::copy_from_slice(&[*key]);
            let mut rows = WriteSet::default();
            let index_rows = |value: &Bytes| {
                let keys = (GLUE.rows)(value).expect("a value of ours").index_keys;
                let keys = GLUE.indexes.iter().zip(keys).filter_map(|(index, index_key)| Some((index, index_key?)));
                let row = |(index, index_key): (&IndexGlue, Vec<u8>)| {
                    let row_key = layout::index_key(NOTE, IndexId::named(index.name), &index_key, &key);
                    (row_key, layout::index_value(&index_key))
                };
                keys.map(row).collect::<Vec<_>>()
            };
            for (row_key, _) in before.iter().flat_map(|(_, value)| index_rows(value)) {
                rows.remove(row_key);
            }
            match after {
                Some(value) => {
                    rows.put(row_key, layout::record_value(round, value));
                    for (row_key, row) in index_rows(value) {
                        rows.put(row_key, row);
                    }
                }
                None => rows.remove(row_key),
            }
            if before.is_some() || after.is_some() {
                let change = Change { record: NOTE, key, before, after: after.clone() };
                changes.push((Place { round, position: changes.len() as u32 }, change.clone()));
                rows.change = Some(change);
            }
            draft.write(rows);
        }
        draft.install(round).expect("memory reads");
        self.applied.send_replace(round);
        changes
    }

    pub(super) fn flush(&mut self) {
        if let Some(flush) = self.store.begin_flush() {
            drop(self.store.end_flush(flush.run([]).expect("a flush")).expect("it is out"));
        }
    }

    pub(super) fn watch(&self, plan: &Plan, start: Start) -> Result<Reader, Error> {
        Watcher::start(Arc::clone(&self.hub), plan, GLUE, start).map(Reader)
    }

    /// How many hold the engine besides this.
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.engine)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.hub.close(None);
    }
}

/// Reads a watcher from a thread of a test, without a runtime.
pub(super) struct Reader(pub(super) Watcher);

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Reader {
    /// Waits for the next event.
    pub(super) fn next(&mut self) -> Option<Result<Event, Error>> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.poll_next(&mut cx) {
                Poll::Ready(item) => return item,
                Poll::Pending => std::thread::park_timeout(PATIENCE),
            }
            assert!(Instant::now() < deadline, "nothing comes");
        }
    }

    /// The next event, which must come.
    pub(super) fn event(&mut self) -> (Place, Change) {
        let event = self.next().expect("it goes on").expect("it is an event");
        (event.place, Change::clone(&event.change))
    }

    /// Polls until the hub feeds it, while there is nothing to be had.
    pub(super) fn until_fed(&mut self) {
        while !self.0.is_fed() {
            assert!(self.poll().is_none(), "there is something");
        }
    }

    /// One poll: `None` when there is nothing to be had at once.
    pub(super) fn poll(&mut self) -> Option<Option<Result<Event, Error>>> {
        match self.0.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => Some(item),
            Poll::Pending => None,
        }
    }
}
