//! Compaction of a store's file while it is in use: a copy with a cursor, which takes the file's name when it is whole.
//!
//! ```text
//! flush ──▶ file in use, synced ──▶ rows up to the cursor: copy        copier: rows behind the cursor ──▶ copy
//!                  cursor at the end: the next flush syncs the copy, renames it over the file, goes on with it
//! ```
//! Must hold: a file of redb does not shrink, so one that was overwritten at random stays as long as it ever was. The copy
//! has exactly the rows of the file in use up to the cursor whenever the lock is free. At the rename both hold the same
//! rows, both synced, so whichever a power cut leaves is right; after it nothing is written to the file of before, which
//! those read on who had begun to. What fails with the copy ends the copy, never a flush, up to the rename; from there on it
//! is not known which file has the name, and the engine takes no more.

use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::engine::{Engine, Rows, Snapshot, StoreError};
use super::view::Lease;

#[cfg(all(test, feature = "paxos"))]
mod growth;
#[cfg(all(test, feature = "paxos"))]
mod tests;

/// What redb needs for a row beside its bytes.
const ROW_OVERHEAD_BYTES: u64 = 8;
/// What lives in a file is counted when the changes since the last time come to this part of it: little, beside what they cost.
const CHANGED_PART: u64 = 4;
/// After a copy that could not be made, there is none for so long.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two chunks it pauses for as long as one took: half of the disk is left to others.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where the copy is made, and how it takes the place of the file in use.
pub(crate) trait Site: fmt::Debug + Send + Sync {
    /// What the file in use takes of the disk; `None`: not known, and never compacted.
    fn taken(&self) -> Option<u64>;
    /// Whether so many bytes can be written, and enough is left for everybody else.
    fn has_room(&self, bytes: u64) -> bool;
    /// An empty engine beside the one in use, in the place of an earlier one.
    fn make(&self) -> Result<Arc<dyn Engine>, StoreError>;
    /// Gives the copy, which is synced, the name of the file in use, durably.
    fn put_in_place(&self) -> Result<(), StoreError>;
    /// Removes a copy that is not wanted.
    fn remove(&self);
}

/// When a file is copied, and in which steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A file that takes less is left alone.
    pub(crate) file_bytes_min: u64,
    /// One is copied that takes more than so many times what lives in it. Rows at random keys leave pages a third empty, and
    /// each flush takes new pages for those that it changes: a copy would soon be as long again as what takes less.
    pub(crate) worth: u64,
    /// What is copied while flushes wait.
    pub(crate) chunk_bytes: u64,
    /// The copy is synced this often: redb uses pages that were freed again only then.
    pub(crate) sync_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { file_bytes_min: 32 << 20, worth: 2, chunk_bytes: 4 << 20, sync_bytes: 32 << 20 }
    }
}

/// An engine whose file is copied when that makes it much shorter.
pub(crate) struct Compacting {
    shared: Arc<Shared>,
    copier: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    site: Box<dyn Site>,
    limits: Limits,
    /// What flushes and the copier take turns by.
    state: Mutex<State>,
    /// Signalled at the end.
    closing: Condvar,
    /// As `State::closed`, for who is amid a chunk.
    closed: AtomicBool,
    /// Whether the copy has everything, and a flush would end it.
    whole: AtomicBool,
}

struct State {
    engine: Arc<dyn Engine>,
    /// Empty while `engine` is in use; its snapshots end with it.
    lease: Lease,
    copy: Option<Copy>,
    /// Bytes of rows that were changed since it was counted what lives in the file.
    changed: u64,
    /// The length of a row, by that count: what the removal of one is taken for. `None`: nothing was counted yet.
    row_bytes: Option<u64>,
    look_after: Option<Instant>,
    /// It is not known which file has the name.
    failed: bool,
    closed: bool,
}

struct Copy {
    engine: Arc<dyn Engine>,
    /// The last key that was copied; all keys, once it is whole.
    cursor: Option<Bytes>,
    whole: bool,
    live: u64,
    unsynced: u64,
    begun: Instant,
}

impl Copy {
    fn holds(&self, key: &[u8]) -> bool {
        self.whole || self.cursor.as_ref().is_some_and(|cursor| key <= &cursor[..])
    }
}

impl Compacting {
    /// Over an engine whose file is at `site`. What is left there of an earlier copy is removed.
    pub(crate) fn new(engine: Arc<dyn Engine>, site: Box<dyn Site>, limits: Limits) -> Arc<Self> {
        site.remove();
        let (lease, copy, row_bytes, look_after) = (Lease::default(), None, None, None);
        let state = State { engine, lease, copy, changed: 0, row_bytes, look_after, failed: false, closed: false };
        let (closed, whole) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Shared { site, limits, state: Mutex::new(state), closing: Condvar::new(), closed, whole };
        Arc::new(Compacting { shared: Arc::new(shared), copier: Mutex::new(None) })
    }

    /// No copy takes the file's place from here on: another store is about to. What is read and written goes on.
    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        {
            let mut state = self.shared.lock();
            state.closed = true;
            self.shared.abandon(&mut state);
            self.shared.closing.notify_all();
        }
        // It holds the engine, and with it the file's lock.
        if let Some(copier) = self.copier.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = copier.join();
        }
    }

    fn start_copier(&self) {
        let mut copier = self.copier.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = copier.as_ref().is_some_and(|copier| !copier.is_finished());
        if runs || self.shared.closed.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new().name("netabase-compact".to_owned()).spawn(move || shared.run());
        match spawned {
            Ok(thread) => *copier = Some(thread),
            Err(error) => tracing::warn!(%error, "the store's file is not compacted"),
        }
    }
}

impl Drop for Compacting {
    fn drop(&mut self) {
        self.close();
    }
}

impl Engine for Compacting {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.shared.snapshot()
    }

    fn write(&self, rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>, sync: bool) -> Result<(), StoreError> {
        let mut state = self.shared.lock();
        self.shared.write(&mut state, rows, sync)?;
        let due = sync && self.shared.is_due(&state);
        drop(state);
        if due {
            self.start_copier();
        }
        Ok(())
    }

    fn awaits_write(&self) -> bool {
        self.shared.whole.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Who panicked with it may have left the copy without rows that the file in use has: it is given up.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            self.state.clear_poison();
            let mut state = poisoned.into_inner();
            self.abandon(&mut state);
            state
        })
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let state = self.lock();
        Ok(Arc::new(Leased { snapshot: state.engine.snapshot()?, _lease: Arc::clone(&state.lease) }))
    }

    fn write(
        &self,
        state: &mut State,
        rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>,
        sync: bool,
    ) -> Result<(), StoreError> {
        if state.failed {
            return Err(StoreError::Failed("a copy of the store could not take its place".to_owned()));
        }
        let (removed, mut changed, mut again) = (state.row_bytes.unwrap_or_default(), 0, Vec::new());
        let mut rows = rows.inspect(|(key, value)| {
            changed += value.as_ref().map_or(removed, |value| row_bytes(key, value));
            if state.copy.as_ref().is_some_and(|copy| copy.holds(key)) {
                again.push((key.clone(), value.clone()));
            }
        });
        if let Err(error) = state.engine.write(&mut rows, sync) {
            self.abandon(state);
            return Err(error);
        }
        state.changed += changed;
        let Some(copy) = &state.copy else { return Ok(()) };
        let ends = copy.whole && sync;
        if let Err(error) = copy.engine.write(&mut again.into_iter(), sync) {
            self.give_up(state, &error);
            return Ok(());
        }
        if ends { self.finish(state) } else { Ok(()) }
    }

    /// Both hold the same rows, synced.
    fn finish(&self, state: &mut State) -> Result<(), StoreError> {
        let before = self.site.taken();
        // Also should it panic: whatever has the name by then, nothing more is written to either.
        state.failed = true;
        self.site.put_in_place()?;
        state.failed = false;
        self.whole.store(false, Ordering::SeqCst);
        let Some(copy) = state.copy.take() else { return Ok(()) };
        let engine = std::mem::replace(&mut state.engine, copy.engine);
        let _ = std::mem::take(&mut state.lease).set(engine);
        state.changed = 0;
        let after = self.site.taken().unwrap_or_default();
        let (before, live, ms) = (before.unwrap_or_default(), copy.live, copy.begun.elapsed().as_millis());
        tracing::info!(before, after, live, ms, "the store's file is compacted");
        Ok(())
    }

    fn is_due(&self, state: &State) -> bool {
        let waits = state.look_after.is_some_and(|until| Instant::now() < until);
        if state.closed || state.copy.is_some() || waits {
            return false;
        }
        let Some(taken) = self.site.taken().filter(|taken| *taken >= self.limits.file_bytes_min) else { return false };
        state.row_bytes.is_none() || state.changed >= taken / CHANGED_PART
    }

    fn abandon(&self, state: &mut State) {
        self.whole.store(false, Ordering::SeqCst);
        if state.copy.take().is_some() {
            self.site.remove();
        }
    }

    fn give_up(&self, state: &mut State, error: &StoreError) {
        tracing::warn!(%error, "the store's file is not compacted for now");
        state.look_after = Some(Instant::now() + PATIENCE);
        self.abandon(state);
    }

    /// The copier's thread.
    fn run(&self) {
        let begun = self.weigh().and_then(|weight| weight.map_or(Ok(false), |weight| self.begin_if_worth(weight)));
        match begun {
            Ok(true) => while self.step().is_some_and(|took| self.pause(took)) {},
            Ok(false) => {}
            Err(error) => self.give_up(&mut self.lock(), &error),
        }
    }

    /// What is in the file; `None` at the end of the store.
    fn weigh(&self) -> Result<Option<Weight>, StoreError> {
        let (mut cursor, mut weight) = (None, Weight::default());
        self.lock().changed = 0;
        loop {
            let began = Instant::now();
            // A snapshot that is held for long keeps the pages of before from being used again.
            let snapshot = self.snapshot()?;
            let read = self.read(&*snapshot, &mut cursor, |key, value| {
                weight.rows += 1;
                weight.bytes += row_bytes(&key, &value);
            })?;
            drop(snapshot);
            match read {
                None => return Ok(None),
                Some(true) => return Ok(Some(weight)),
                Some(false) => {}
            }
            if !self.pause(began.elapsed()) {
                return Ok(None);
            }
        }
    }

    /// Begins a copy, if the file takes more than it need to and there is room for it.
    fn begin_if_worth(&self, live: Weight) -> Result<bool, StoreError> {
        let mut state = self.lock();
        state.row_bytes = Some(live.bytes / live.rows.max(1));
        let worth = |taken: &u64| *taken >= self.limits.file_bytes_min && *taken > self.limits.worth * live.bytes;
        let Some(taken) = self.site.taken().filter(worth) else { return Ok(false) };
        if state.closed {
            return Ok(false);
        }
        if !self.site.has_room(self.limits.worth * live.bytes) {
            tracing::info!(taken, live = live.bytes, "the disk has no room to compact the store's file");
            state.look_after = Some(Instant::now() + PATIENCE);
            return Ok(false);
        }
        self.begin(&mut state).map(|()| true)
    }

    fn begin(&self, state: &mut State) -> Result<(), StoreError> {
        let engine = self.site.make()?;
        let begun = Instant::now();
        state.copy = Some(Copy { engine, cursor: None, whole: false, live: 0, unsynced: 0, begun });
        Ok(())
    }

    /// Copies a chunk, and says how long that took; `None`: there is nothing left to do.
    fn step(&self) -> Option<Duration> {
        let mut state = self.lock();
        let began = Instant::now();
        match self.copy_chunk(&mut state) {
            Ok(true) => Some(began.elapsed()),
            Ok(false) => None,
            Err(error) => {
                self.give_up(&mut state, &error);
                None
            }
        }
    }

    fn copy_chunk(&self, state: &mut State) -> Result<bool, StoreError> {
        let Some(copy) = state.copy.as_mut().filter(|copy| !copy.whole) else { return Ok(false) };
        if !self.site.has_room(2 * self.limits.chunk_bytes) {
            return Err(StoreError::Failed("the disk is nearly full".to_owned()));
        }
        let (mut rows, mut bytes, mut cursor) = (Vec::new(), 0, copy.cursor.clone());
        let snapshot = state.engine.snapshot()?;
        let read = self.read(&*snapshot, &mut cursor, |key, value| {
            bytes += row_bytes(&key, &value);
            rows.push((key, Some(value)));
        })?;
        // Closed: who did that abandons the copy.
        let Some(ended) = read else { return Ok(false) };
        copy.unsynced += bytes;
        let sync = ended || copy.unsynced >= self.limits.sync_bytes;
        copy.engine.write(&mut rows.into_iter(), sync)?;
        if sync {
            copy.unsynced = 0;
        }
        copy.live += bytes;
        (copy.cursor, copy.whole) = (cursor, ended);
        self.whole.store(ended, Ordering::SeqCst);
        Ok(!ended)
    }

    /// Reads a chunk behind the cursor, which then is at its last key. Whether it was the last one; `None`: it is closed.
    fn read(
        &self,
        snapshot: &dyn Snapshot,
        cursor: &mut Option<Bytes>,
        mut visit: impl FnMut(Bytes, Bytes),
    ) -> Result<Option<bool>, StoreError> {
        let after = cursor.clone();
        let lower = after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(&after[..]));
        let mut bytes = 0;
        for row in snapshot.scan(lower, Bound::Unbounded, false)? {
            if self.closed.load(Ordering::SeqCst) {
                return Ok(None);
            }
            let (key, value) = row?;
            bytes += row_bytes(&key, &value);
            *cursor = Some(key.clone());
            visit(key, value);
            if bytes >= self.limits.chunk_bytes {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    /// Leaves disk and lock to others; whether to go on.
    fn pause(&self, took: Duration) -> bool {
        let state = self.lock();
        let pause = took.clamp(PAUSE_MIN, PAUSE_MAX);
        let waited = self.closing.wait_timeout_while(state, pause, |state| !state.closed);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }
}

fn row_bytes(key: &Bytes, value: &Bytes) -> u64 {
    (key.len() + value.len()) as u64 + ROW_OVERHEAD_BYTES
}

/// What lives in a file.
#[derive(Clone, Copy, Default)]
struct Weight {
    rows: u64,
    bytes: u64,
}

impl fmt::Debug for Compacting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compacting").field("site", &self.shared.site).finish_non_exhaustive()
    }
}

/// A snapshot that is read on when its engine is no longer in use.
struct Leased {
    snapshot: Arc<dyn Snapshot>,
    /// After the snapshot: it goes last.
    _lease: Lease,
}

impl Snapshot for Leased {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.snapshot.get(key)
    }

    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Rows<'a>, StoreError> {
        self.snapshot.scan(lower, upper, reverse)
    }
}

/// The engine that has the store's file open, for whoever is about to put another file there.
#[derive(Debug, Default)]
pub(crate) struct InUse(Mutex<Weak<Compacting>>);

impl InUse {
    pub(crate) fn set(&self, engine: &Arc<Compacting>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(engine);
    }

    /// From here on it changes no name.
    pub(crate) fn close(&self) {
        let engine = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(engine) = engine {
            engine.close();
        }
    }
}
