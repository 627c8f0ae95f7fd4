//! The store's one writer: lays applied rounds over the engine and hands them on in flushes.
//!
//! `applied` is the round that readers see, `durable` the one that a restart finds; in between lie the
//! overlays. Rounds are installed in order, and a flush takes whole rounds. Called by the machine only.

use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, RwLockReadGuard};

use bytes::Bytes;

use super::archive::{DurableState, ROUND_MAX};
use super::change::Change;
use super::changes::{CHANGE_BYTES_MAX, ChangeTable, Mark, RoundChanges};
use super::engine::{Engine, StoreError};
use super::flush::{Flush, FlushDone, Retired};
use super::layout;
use super::scan::Scan;
use super::sum::Sum;
use super::view::{Layers, Lease, Overlay, Pending, Rows, View, Views};
use crate::Error;

/// What one row of an overlay costs beyond its bytes, about: two handles and its share of a tree node.
const ROW_OVERHEAD_BYTES: usize = 128;

/// Rows on an engine, with applied rounds over them.
pub(crate) struct Store {
    engine: Arc<dyn Engine>,
    views: Views,
    changes: ChangeTable,
    active_bytes: usize,
    flushing_bytes: usize,
    durable: u64,
}

/// Rows to change together; `None` removes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteSet {
    pub(crate) rows: Vec<(Bytes, Option<Bytes>)>,
    /// What they do to a record, for those who watch it.
    pub(crate) change: Option<Change>,
    /// What they add to what all rows come to.
    pub(crate) sum: Sum,
}

impl WriteSet {
    /// Puts or removes a row, which was `before` until now: what is taken out of the sum is what was put in.
    pub(crate) fn replace(&mut self, key: Bytes, before: Option<&[u8]>, after: Option<Bytes>) {
        if let Some(before) = before {
            self.sum.subtract(&key, before);
        }
        if let Some(after) = &after {
            self.sum.add(&key, after);
        }
        self.rows.push((key, after));
    }

    /// For rows that nobody sums.
    pub(crate) fn put(&mut self, key: Bytes, value: Bytes) {
        self.rows.push((key, Some(value)));
    }

    #[cfg(test)]
    pub(crate) fn remove(&mut self, key: Bytes) {
        self.rows.push((key, None));
    }
}

impl Store {
    /// Opens the store on an engine: an empty one becomes a store at round 0.
    pub(crate) fn open(engine: Arc<dyn Engine>) -> Result<Store, Error> {
        Store::open_with(engine, CHANGE_BYTES_MAX)
    }

    /// With another bound on the change table, which is part of the rule. 0: nobody watches, there is none.
    pub(crate) fn open_with(engine: Arc<dyn Engine>, change_bytes_max: u64) -> Result<Store, Error> {
        let mut base = engine.snapshot()?;
        if base.scan(Bound::Unbounded, Bound::Unbounded, false)?.next().transpose()?.is_none() {
            let rows = [
                (layout::meta_key(layout::META_FORMAT), Some(Bytes::copy_from_slice(&layout::FORMAT.to_be_bytes()))),
                applied_row(0),
                Sum::default().row(),
            ];
            engine.write(&mut rows.into_iter(), true)?;
            base = engine.snapshot()?;
        }
        let format = base
            .get(&layout::meta_key(layout::META_FORMAT))?
            .ok_or_else(|| StoreError::Foreign("its rows are of another program".to_owned()))?;
        if format[..] != layout::FORMAT.to_be_bytes() {
            let ours = layout::FORMAT;
            return Err(StoreError::Foreign(format!("its format is {format:?}, this version reads {ours}")).into());
        }
        let applied = base
            .get(&layout::meta_key(layout::META_APPLIED))?
            .and_then(|row| Some(u64::from_be_bytes(row[..].try_into().ok()?)))
            .filter(|round| *round <= ROUND_MAX)
            .ok_or_else(|| StoreError::Damaged("it does not say which round it holds".to_owned()))?;

        let sum = Sum::stored(&*base)?;
        let changes = ChangeTable::open(&*base, applied, change_bytes_max)?;
        let layers = Layers { active: Overlay::new(), flushing: None, base, lease: Lease::default() };
        let views = Views::new(View { layers, applied, sum, taken_at_ms: None });
        Ok(Store { engine, views, changes, active_bytes: 0, flushing_bytes: 0, durable: applied })
    }

    pub(crate) fn view(&self) -> View {
        self.views.view()
    }

    pub(crate) fn views(&self) -> Views {
        self.views.clone()
    }

    /// What the rows come to as of the last installed round.
    pub(crate) fn sum(&self) -> Sum {
        self.views.read().sum
    }

    /// The last installed round.
    pub(crate) fn applied(&self) -> u64 {
        self.views.read().applied
    }

    /// The round that a restart finds.
    pub(crate) fn durable_round(&self) -> u64 {
        self.durable
    }

    /// The memory that rounds not yet durable take, about. What a caller flushes by.
    pub(crate) fn overlay_bytes(&self) -> usize {
        self.active_bytes + self.flushing_bytes
    }

    /// A round to be filled. Nothing of it is seen before it is installed; dropped, it never was.
    pub(crate) fn draft(&mut self) -> Draft<'_> {
        let below = self.views.read();
        let changes = RoundChanges::new(&self.changes);
        let (table, active_bytes) = (&mut self.changes, &mut self.active_bytes);
        let sum = below.sum;
        Draft {
            views: &self.views,
            below,
            pending: Pending::new(),
            changes,
            sum,
            undo: None,
            table,
            active_bytes,
            read_at_ms: None,
        }
    }

    /// Moves what is applied and not durable into a flush. `None`: there is nothing to be done, or a flush
    /// is out. Without rows it is one that the engine waits for.
    pub(crate) fn begin_flush(&mut self) -> Option<Flush> {
        let mut newest = self.views.write();
        let due = newest.applied != self.durable || self.engine.awaits_write();
        if !due || newest.layers.flushing.is_some() {
            return None;
        }
        let rows = std::mem::take(&mut newest.layers.active);
        newest.layers.flushing = Some(rows.clone());
        self.flushing_bytes = std::mem::take(&mut self.active_bytes);
        Some(Flush::new(Arc::clone(&self.engine), rows, newest.applied, newest.sum))
    }

    /// Lets readers go on to the engine for what a flush wrote. Drop what it returns on another thread:
    /// it may be the last handle to a large map.
    pub(crate) fn end_flush(&mut self, done: FlushDone) -> Result<Retired, Error> {
        let (base, round) = done.into_parts();
        let mut newest = self.views.write();
        let Some(flushed) = newest.layers.flushing.take() else {
            return Err(StoreError::Failed("a flush ended that had not begun".to_owned()).into());
        };
        let before = std::mem::replace(&mut newest.layers.base, base);
        self.flushing_bytes = 0;
        self.durable = round;
        Ok(Retired::new(flushed, before))
    }

    /// The rows as a restart would find them.
    pub(crate) fn durable_state(&self) -> DurableState {
        let newest = self.views.read();
        DurableState::new(Arc::clone(&newest.layers.base), self.durable, Arc::clone(&newest.layers.lease))
    }

    /// Lets another store, of a later round, take this one's place: whoever reads here goes on there. Not while a flush
    /// is out: it would end here. Drop what it returns on another thread.
    pub(crate) fn succeed(&mut self, next: Store) -> View {
        debug_assert!(next.applied() >= self.applied(), "readers never go back");
        let views = self.views.clone();
        let newest = next.views.read().clone();
        let before = std::mem::replace(&mut *views.write(), newest);
        // Whoever reads here now reads on, and the last of them closes the files.
        let _ = before.layers.lease.set(Arc::clone(&self.engine));
        *self = Store { views, ..next };
        before
    }

    /// A meta row, as it is in the engine.
    pub(crate) fn meta(&self, name: &str) -> Result<Option<Bytes>, Error> {
        Ok(self.views.read().layers.base.get(&layout::meta_key(name))?)
    }

    /// Writes a meta row, durable when it returns. For opening; not while a flush is out.
    pub(crate) fn set_meta(&mut self, name: &str, value: Bytes) -> Result<(), Error> {
        self.begin_with(vec![(layout::meta_key(name), Some(value))])
    }

    /// Writes rows that nobody sums, durable when it returns. For opening; not while a flush is out.
    pub(crate) fn begin_with(&mut self, rows: Vec<(Bytes, Option<Bytes>)>) -> Result<(), Error> {
        self.engine.write(&mut rows.into_iter(), true)?;
        self.views.write().layers.base = self.engine.snapshot()?;
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &self.engine)
            .field("applied", &self.applied())
            .field("durable", &self.durable)
            .field("overlay_bytes", &self.overlay_bytes())
            .finish_non_exhaustive()
    }
}

pub(super) fn applied_row(round: u64) -> (Bytes, Option<Bytes>) {
    (layout::meta_key(layout::META_APPLIED), Some(Bytes::copy_from_slice(&round.to_be_bytes())))
}

/// A round being applied: sees what is installed and its own writes, and is seen by nobody.
pub(crate) struct Draft<'s> {
    views: &'s Views,
    /// What is installed. Held for reading all along: only `install` ever takes it for writing.
    below: RwLockReadGuard<'s, View>,
    pending: Pending,
    changes: RoundChanges,
    sum: Sum,
    table: &'s mut ChangeTable,
    active_bytes: &'s mut usize,
    undo: Option<Undo>,
    read_at_ms: Option<u64>,
}

/// What a round was when a transaction in it began.
struct Undo {
    /// What the rows were that were written since, the last one first to be put back.
    rows: Vec<(Bytes, Option<Option<Bytes>>)>,
    changes: Mark,
    sum: Sum,
}

impl Draft<'_> {
    /// From here on, it is read by somebody who is not to see what has expired by then.
    pub(crate) fn read_as_of(&mut self, now_ms: u64) {
        self.read_at_ms = Some(now_ms);
    }

    /// Adds the rows to the round.
    pub(crate) fn write(&mut self, rows: WriteSet) {
        self.sum.join(rows.sum);
        if let Some(change) = rows.change {
            self.changes.push(change);
        }
        let Some(undo) = &mut self.undo else {
            self.pending.extend(rows.rows);
            return;
        };
        for (key, row) in rows.rows {
            let before = self.pending.insert(key.clone(), row);
            undo.rows.push((key, before));
        }
    }

    /// From here on, what is written can be taken back: a transaction begins.
    pub(crate) fn begin(&mut self) {
        self.undo = Some(Undo { rows: Vec::new(), changes: self.changes.mark(), sum: self.sum });
    }

    /// What was written since `begin` stays.
    pub(crate) fn keep(&mut self) {
        self.undo = None;
    }

    /// What was written since `begin` never was.
    pub(crate) fn roll_back(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        self.changes.roll_back(undo.changes);
        self.sum = undo.sum;
        for (key, before) in undo.rows.into_iter().rev() {
            match before {
                Some(row) => self.pending.insert(key, row),
                None => self.pending.remove(&key),
            };
        }
    }

    /// Makes it what readers see, at once and whole. Errs if the engine cannot read, and then nothing is seen.
    pub(crate) fn install(self, round: u64) -> Result<(), Error> {
        let Draft { views, below, mut pending, changes, sum, table, active_bytes, .. } = self;
        table.append(round, &changes, &below.layers, &mut pending)?;
        drop(below);
        let mut newest = views.write();
        debug_assert!(round > newest.applied, "rounds are installed in order");
        (newest.applied, newest.sum) = (round, sum);
        for (key, value) in pending {
            let key_bytes = key.len();
            *active_bytes += value.as_ref().map_or(0, Bytes::len);
            match newest.layers.active.insert(key, value) {
                Some(before) => *active_bytes -= before.map_or(0, |before| before.len()),
                None => *active_bytes += key_bytes + ROW_OVERHEAD_BYTES,
            }
        }
        Ok(())
    }
}

impl Rows for Draft<'_> {
    fn read_at_ms(&self) -> Option<u64> {
        self.read_at_ms
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.pending.get(key) {
            Some(row) => Ok(row.clone()),
            None => self.below.get(key),
        }
    }

    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Scan<'a>, Error> {
        Scan::over(Some(&self.pending), &self.below.layers, lower, upper, reverse)
    }
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("after", &self.below.applied).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RedbEngine;
    use crate::testing::ForgetfulDisk;

    fn open(disk: &ForgetfulDisk) -> Store {
        Store::open(Arc::new(RedbEngine::open_backend(disk.clone()).expect("a database"))).expect("a store")
    }

    /// Opened anew, so that no page of it is in memory.
    fn store(round: u64) -> Store {
        let disk = ForgetfulDisk::new();
        let mut store = open(&disk);
        let mut rows = WriteSet::default();
        for row in 0..=u8::MAX {
            rows.put(Bytes::from(vec![1, row]), Bytes::from(vec![round as u8; 1_000]));
        }
        let mut draft = store.draft();
        draft.write(rows);
        draft.install(round).expect("it reads");
        let flush = store.begin_flush().expect("something to write");
        let done = flush.run([]).expect("it is written");
        drop(store.end_flush(done).expect("it was out"));
        drop(store);
        open(&disk)
    }

    /// redb ends the reads of a database that is dropped.
    #[test]
    fn a_view_is_read_on_after_another_store_took_the_place() {
        let mut store = store(3);
        let (views, view) = (store.views(), store.view());
        let before = store.succeed(self::store(9));
        drop(before);
        for row in 0..=u8::MAX {
            assert_eq!(view.get(&[1, row]).expect("it reads").map(|value| value[0]), Some(3));
            assert_eq!(views.view().get(&[1, row]).expect("it reads").map(|value| value[0]), Some(9));
        }
        assert_eq!((store.applied(), store.durable_round(), views.view().applied()), (9, 9, 9));
    }
}
