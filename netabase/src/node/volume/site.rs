//! A store's file, and its copy beside it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::node::space::LOW_WATER_BYTES;
use crate::storage::{Engine, Patience, PatientFile, RedbEngine, Site, StoreError, file_backend};

/// The store's file in a directory that this process alone has open.
#[derive(Debug)]
pub(super) struct FileSite {
    directory: PathBuf,
    file: PathBuf,
    copy: PathBuf,
    patience: Arc<Patience>,
    cache_bytes: usize,
    /// Of the copy that was made last.
    in_use: Mutex<Arc<AtomicBool>>,
}

impl FileSite {
    pub(super) fn new(directory: &Path, [file, copy]: [&str; 2], patience: &Arc<Patience>, cache_bytes: usize) -> Self {
        FileSite {
            directory: directory.to_owned(),
            file: directory.join(file),
            copy: directory.join(copy),
            patience: Arc::clone(patience),
            cache_bytes,
            in_use: Mutex::default(),
        }
    }

    fn in_use(&self) -> MutexGuard<'_, Arc<AtomicBool>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Site for FileSite {
    /// Not its length, which redb doubles: what was never written takes nothing.
    #[cfg(unix)]
    fn taken(&self) -> Option<u64> {
        use std::os::unix::fs::MetadataExt;
        Some(fs::metadata(&self.file).ok()?.blocks() * 512)
    }

    #[cfg(not(unix))]
    fn taken(&self) -> Option<u64> {
        None
    }

    /// New writes are refused below the mark: a copy must not be what leads there.
    fn has_room(&self, bytes: u64) -> bool {
        let Ok(stat) = rustix::fs::statvfs(&self.directory) else { return false };
        stat.f_bavail.saturating_mul(stat.f_frsize) >= bytes.saturating_add(LOW_WATER_BYTES)
    }

    fn make(&self) -> Result<Arc<dyn Engine>, StoreError> {
        self.remove();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&self.copy)?;
        let in_use = Arc::new(AtomicBool::new(false));
        *self.in_use() = Arc::clone(&in_use);
        let file = PatientFile::used_when(file_backend(file)?, Arc::clone(&self.patience), in_use);
        Ok(Arc::new(RedbEngine::open_cached(file, self.cache_bytes)?))
    }

    fn put_in_place(&self) -> Result<(), StoreError> {
        File::open(&self.copy)?.sync_all()?;
        fs::rename(&self.copy, &self.file)?;
        File::open(&self.directory)?.sync_all()?;
        self.in_use().store(true, Ordering::SeqCst);
        Ok(())
    }

    fn remove(&self) {
        // What cannot be removed now is removed at the next start, or before the next copy.
        let _ = fs::remove_file(&self.copy);
    }
}
