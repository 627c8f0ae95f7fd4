//! The directory of a sled store: who may have it open, and when it is complete.
//!
//! ```text
//! store.sled/lock              held by the one engine that is open
//! store.sled/rows/             sled's own: `conf`, `db`, `blobs/`, `snap.*`
//! store.sled/rows.unfinished/  what a kill during the first start left; removed
//! ```
//! Must hold: `rows` appears under its name when it holds an empty tree and is synced, so that a database without that
//! tree has lost it: sled takes files that it cannot read for none, and would begin anew without a word.
//!
//! Is `flush` enough for durability? No. On Linux sled 0.34 calls `sync_file_range`, which writes neither the file's
//! length nor the disk's cache (its issues 928, 1351 and 1452), and it never syncs `blobs/`, where a page goes that is
//! larger than 128 KiB. So every sync here flushes, then syncs the blobs that are new, then the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ::sled::{Config, Db, Tree};

use super::from_sled;
use crate::storage::engine::StoreError;
use crate::storage::fence::fenced;
use crate::storage::layout::ROWS_TABLE;
use crate::storage::redb::{sync_directory, sync_entry};

/// As much as redb may keep in memory. sled's own default is 1 GiB.
const CACHE_BYTES: u64 = 256 << 20;

/// How long threads of sled may take to end after their database was dropped.
const LET_GO_MAX: Duration = Duration::from_secs(5);

const LOCK: &str = "lock";
const ROWS: &str = "rows";
const UNFINISHED: &str = "rows.unfinished";

/// An open database, and the lock on its directory, which is given back after it.
pub(super) struct Home {
    open: Option<Open>,
    rows: PathBuf,
    /// sled's file, by a handle of our own: what is synced is the file, whoever wrote it.
    file: File,
    /// Blobs are named by their place in sled's log, which grows: those up to here are synced.
    blobs_synced: AtomicI64,
    _lock: File,
}

struct Open {
    tree: Tree,
    database: Db,
}

/// Opens the database. No other process has it: the lock of the directory is ours. sled's own may still be with a thread of
/// its that outlives what was dropped in this process, for a moment.
fn opened(rows: &Path) -> Result<Db, StoreError> {
    let deadline = Instant::now() + LET_GO_MAX;
    loop {
        match open_sled(rows) {
            Err(StoreError::Locked) if Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

impl Home {
    /// Opens the store in the directory at `path`, or makes it there.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        check_ours(path)?;
        fs::create_dir_all(path)?;
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let rows = path.join(ROWS);
        if !rows.try_exists()? {
            make(path, &rows)?;
        }
        let open = fenced("opening it", || {
            let database = opened(&rows)?;
            if !database.tree_names().iter().any(|name| &name[..] == ROWS_TABLE.as_bytes()) {
                return Err(StoreError::Damaged(format!("its tree `{ROWS_TABLE}` is gone")));
            }
            let tree = database.open_tree(ROWS_TABLE).map_err(from_sled)?;
            Ok(Open { tree, database })
        })?;
        let file = OpenOptions::new().read(true).write(true).open(rows.join("db"))?;
        let home = Home { open: Some(open), rows, file, blobs_synced: AtomicI64::new(i64::MIN), _lock: lock };
        sync_directory(&home.rows)?;
        Ok(home)
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.sled().tree
    }

    fn sled(&self) -> &Open {
        self.open.as_ref().expect("closed only when dropped")
    }

    /// Makes durable what was written.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        fenced("writing it", || self.sled().database.flush().map_err(from_sled))?;
        self.sync_blobs()?;
        Ok(self.file.sync_all()?)
    }

    fn sync_blobs(&self) -> Result<(), StoreError> {
        let folder = self.rows.join("blobs");
        let synced = self.blobs_synced.load(Ordering::Relaxed);
        let mut newest = synced;
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse::<i64>().ok()) else { continue };
            if number > synced {
                sync_file(&folder.join(&name))?;
                newest = newest.max(number);
            }
        }
        if newest > synced {
            sync_directory(&folder)?;
            self.blobs_synced.store(newest, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Drop for Home {
    /// sled writes when it is closed, and panics if it cannot.
    fn drop(&mut self) {
        let open = self.open.take();
        let closed = fenced("closing it", || {
            drop(open);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::error!(%error, "a sled store was not closed well");
        }
    }
}

fn open_sled(path: &Path) -> Result<Db, StoreError> {
    Config::new().path(path).cache_capacity(CACHE_BYTES).open().map_err(from_sled)
}

/// Refuses what is neither absent, empty nor ours, before anything is written there.
fn check_ours(path: &Path) -> Result<(), StoreError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(StoreError::Foreign("a file, where a sled store is a directory".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    if entries.count() == 0 || path.join(LOCK).try_exists()? {
        return Ok(());
    }
    Err(StoreError::Foreign("a directory with files of others".to_owned()))
}

/// Makes an empty database under another name, and renames it when it is on the disk.
fn make(path: &Path, rows: &Path) -> Result<(), StoreError> {
    let unfinished = path.join(UNFINISHED);
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fenced("making it", || {
        let database = open_sled(&unfinished)?;
        database.open_tree(ROWS_TABLE).map_err(from_sled)?;
        database.flush().map(drop).map_err(from_sled)
    })?;
    for entry in fs::read_dir(&unfinished)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            sync_file(&entry.path())?;
        }
    }
    sync_directory(&unfinished)?;
    fs::rename(&unfinished, rows)?;
    sync_directory(path)?;
    sync_entry(path)
}

/// One that sled removed meanwhile needs no sync.
fn sync_file(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok(file.sync_all()?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
