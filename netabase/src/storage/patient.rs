//! A store's file on a disk that is full: what finds no room is kept in memory, and written once there is some.
//!
//! redb takes nothing any more after a write that failed, and opening the file anew would end all that is read from it. So it
//! does not hear of a full disk: only a sync waits, which a flush does on a thread of its own and no reader ever does.
//! Must hold: a sync answers `Ok` only after everything before it was written, in the file and synced; what is kept is read
//! before what is in the file; an error of a sync itself is passed on, since what it lost cannot be told. It is no more than
//! the pages that one flush changes.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{BackendError, StorageBackend};

/// How often it is looked whether there is room again.
const TRY_EVERY: Duration = Duration::from_millis(500);
const BLOCK_BYTES: usize = 4_096;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// Whether those who find no room wait for some, which nobody does unless told to; and how many files are open.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waits: bool,
    files: usize,
}

impl Patience {
    /// `false` ends the waiting of all who do.
    pub(crate) fn set(&self, waits: bool) {
        self.lock().waits = waits;
        self.changed.notify_all();
    }

    fn is_set(&self) -> bool {
        self.lock().waits
    }

    /// Until it is worth looking again; whether to look.
    fn wait(&self) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), TRY_EVERY, |state| state.waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.waits
    }

    /// Until every file is closed, so that they can be opened again, or the time is over.
    pub(crate) fn wait_until_closed(&self, timeout: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |state| state.files > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts as an open file until it is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Open {
        self.count(true);
        Open(Arc::clone(self))
    }

    fn count(&self, opened: bool) {
        let files = &mut self.lock().files;
        *files = if opened { *files + 1 } else { files.saturating_sub(1) };
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Patience>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(false);
    }
}

/// A file whose full disk redb does not notice.
#[derive(Debug)]
pub(crate) struct PatientFile<B> {
    file: B,
    /// Dropped after the file.
    _open: Open,
    patience: Arc<Patience>,
    /// Nobody waits for one that is not: it is given up instead.
    in_use: Arc<AtomicBool>,
    kept: Mutex<BTreeMap<u64, Vec<u8>>>,
    /// Whether anything is kept, for readers.
    keeps: AtomicBool,
}

impl<B: StorageBackend> PatientFile<B> {
    pub(crate) fn new(file: B, patience: Arc<Patience>) -> Self {
        Self::used_when(file, patience, Arc::new(AtomicBool::new(true)))
    }

    /// One that takes the place of the file in use later.
    pub(crate) fn used_when(file: B, patience: Arc<Patience>, in_use: Arc<AtomicBool>) -> Self {
        let open = patience.hold();
        PatientFile { file, _open: open, patience, in_use, kept: Mutex::default(), keeps: AtomicBool::new(false) }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was to be written, in blocks: pages of another length may lie over these later.
    fn keep(&self, kept: &mut BTreeMap<u64, Vec<u8>>, offset: u64, data: &[u8]) -> io::Result<()> {
        self.keeps.store(true, Ordering::SeqCst);
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (block, within) = (at / BLOCK, (at % BLOCK) as usize);
            let bytes = match kept.entry(block) {
                std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => free.insert(self.block(block)?),
            };
            if within >= bytes.len() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "a write behind the end of the file"));
            }
            let now = (bytes.len() - within).min(data.len() - done);
            bytes[within..within + now].copy_from_slice(&data[done..done + now]);
            done += now;
        }
        Ok(())
    }

    /// A block as it is in the file, which may end within it.
    fn block(&self, block: u64) -> io::Result<Vec<u8>> {
        let left = self.file.len()?.saturating_sub(block * BLOCK).min(BLOCK);
        let mut bytes = vec![0; left as usize];
        self.file.read(block * BLOCK, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes what is kept.
    fn write_kept(&self) -> io::Result<()> {
        let mut kept = self.kept();
        while let Some(block) = kept.first_entry() {
            self.file.write(block.key() * BLOCK, block.get())?;
            block.remove();
        }
        self.keeps.store(false, Ordering::SeqCst);
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl<B: StorageBackend> StorageBackend for PatientFile<B> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if !self.keeps.load(Ordering::SeqCst) {
            return self.file.read(offset, out);
        }
        // Under the lock: else a block could be written and forgotten between the two looks.
        let kept = self.kept();
        self.file.read(offset, out)?;
        let end = offset + out.len() as u64;
        for (block, bytes) in kept.range(offset / BLOCK..end.div_ceil(BLOCK)) {
            let start = block * BLOCK;
            let (from, to) = (start.max(offset), (start + bytes.len() as u64).min(end));
            if from < to {
                out[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&bytes[(from - start) as usize..(to - start) as usize]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut kept = self.kept();
        self.file.set_len(len)?;
        kept.split_off(&len.div_ceil(BLOCK));
        // One that the end is within, or was: it is as long as the file goes.
        if let Some(mut last) = kept.last_entry() {
            let left = (len - last.key() * BLOCK).min(BLOCK) as usize;
            last.get_mut().resize(left, 0);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut kept = self.kept();
        if kept.is_empty() {
            match self.file.write(offset, data) {
                Err(error) if is_full(&error) && self.in_use.load(Ordering::SeqCst) && self.patience.is_set() => {
                    tracing::error!(%error, "the disk is full: the store waits for room");
                }
                written => return written,
            }
        }
        self.keep(&mut kept, offset, data)
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut waited, mut waits) = (false, true);
        while let Err(error) = self.write_kept() {
            if !is_full(&error) || !waits {
                return Err(error);
            }
            // Whoever is told to wait no longer looks once more: there may be room since the last look.
            waits = self.patience.wait();
            waited = true;
        }
        if waited {
            tracing::info!("the store has found room");
        }
        self.file.sync_data()
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(all(test, feature = "paxos"))]
mod tests;
