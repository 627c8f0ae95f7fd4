//! The engine on redb: one file, one table of bytes to bytes.
//!
//! A new file appears under its name only when it is complete and synced, and its directory entry with
//! it: a kill while it is made leaves no half of a database. redb panics on some damaged files; every
//! call into it that touches the file is fenced, so that damage is an error here like any other: after a
//! panic a transaction is dropped, a scan ends, and redb itself refuses further writes.
//! The caller makes the directory and hands over a path, or a backend (tests of power cuts).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyTable, ReadableDatabase, StorageBackend, StorageError,
    TableDefinition, TableHandle,
};

use super::engine::{Engine, Rows, Snapshot, StoreError, is_empty_range};
use super::fence::fenced;
use super::layout::ROWS_TABLE;
use super::patient::{Patience, PatientFile};

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new(ROWS_TABLE);

/// How much of the rows redb may keep in memory unless told otherwise, and how much of the log, of which little is read
/// again. Its own default is 1 GiB each. What an allocator makes of pages that come and go on several threads is up to
/// twice as much.
pub(crate) const CACHE_BYTES: usize = 32 << 20;
const LOG_CACHE_BYTES: usize = 16 << 20;

/// A write that touches fewer pages than these rows may is not worth another two syncs.
const ROWS_UNTIL_FREED: usize = 256;

/// Rows in a redb database.
#[derive(Debug)]
pub(crate) struct RedbEngine {
    database: Database,
    /// How many rows were written since pages were last given free.
    written: AtomicUsize,
}

/// The backend on a file; no other process may have it open.
pub(crate) fn file_backend(file: File) -> Result<FileBackend, StoreError> {
    FileBackend::new(file).map_err(from_database)
}

/// Opens a database for another use than rows, with the same fence against damage.
pub(crate) fn open_database(backend: impl StorageBackend) -> Result<Database, StoreError> {
    fenced("opening it", || {
        Builder::new().set_cache_size(LOG_CACHE_BYTES).create_with_backend(backend).map_err(from_database)
    })
}

impl RedbEngine {
    /// Opens the database at `path`, or makes it there.
    pub(crate) fn open_file(path: &Path) -> Result<Self, StoreError> {
        Self::open_backend(open_or_make(path)?)
    }

    /// The same, with so many bytes of it in memory, and with a full disk being waited for.
    pub(crate) fn open_patient_file(
        path: &Path,
        patience: &Arc<Patience>,
        cache_bytes: usize,
    ) -> Result<Self, StoreError> {
        Self::open_cached(PatientFile::new(open_or_make(path)?, Arc::clone(patience)), cache_bytes)
    }

    /// Opens the database in `backend`, or makes it there if the backend is empty.
    pub(crate) fn open_backend(backend: impl StorageBackend) -> Result<Self, StoreError> {
        Self::open_cached(backend, CACHE_BYTES)
    }

    /// The same, with so many bytes of it in memory.
    pub(crate) fn open_cached(backend: impl StorageBackend, cache_bytes: usize) -> Result<Self, StoreError> {
        fenced("opening it", || {
            let database =
                Builder::new().set_cache_size(cache_bytes).create_with_backend(backend).map_err(from_database)?;
            let engine = RedbEngine { database, written: AtomicUsize::new(0) };
            engine.ensure_table()?;
            Ok(engine)
        })
    }

    fn ensure_table(&self) -> Result<(), StoreError> {
        let reading = self.database.begin_read().map_err(from_redb)?;
        let tables: Vec<String> =
            reading.list_tables().map_err(from_redb)?.map(|table| table.name().to_owned()).collect();
        if tables.iter().any(|name| name == ROWS_TABLE) {
            return Ok(());
        }
        if let Some(other) = tables.first() {
            return Err(StoreError::Foreign(format!("a redb file with a table `{other}` and no `{ROWS_TABLE}`")));
        }
        self.write(&mut std::iter::empty(), true)
    }
}

impl Engine for RedbEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        fenced("reading it", || {
            let reading = self.database.begin_read().map_err(from_redb)?;
            // The table holds its transaction open, which is thereby shared by all who read the snapshot:
            // beginning one takes a lock and costs as much as a point get.
            let table = reading.open_table(ROWS).map_err(from_redb)?;
            Ok(Arc::new(RedbSnapshot { table }) as Arc<dyn Snapshot>)
        })
    }

    fn write(&self, rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>, sync: bool) -> Result<(), StoreError> {
        if sync && self.written.swap(0, Ordering::Relaxed) >= ROWS_UNTIL_FREED {
            // The pages that the last write replaced, which the snapshot of before it still needed, are given free at the
            // end of a commit: of one without rows, so that this write uses them again instead of as many new ones.
            self.write_rows(&mut std::iter::empty(), true)?;
        }
        self.write_rows(rows, sync)
    }
}

impl RedbEngine {
    fn write_rows(&self, rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>, sync: bool) -> Result<(), StoreError> {
        fenced("writing it", || {
            let mut written = 0;
            let mut writing = self.database.begin_write().map_err(from_redb)?;
            let durability = if sync { Durability::Immediate } else { Durability::None };
            writing.set_durability(durability).map_err(from_redb)?;
            if sync {
                // Without it, redb walks the whole file at the first open after a kill to find its free pages:
                // seconds to minutes, while the cluster misses a voter. It costs a second fsync a commit, and
                // flushes are few, large, and on no write's path.
                writing.set_quick_repair(true);
            }
            {
                let mut table = writing.open_table(ROWS).map_err(from_redb)?;
                for (key, value) in rows {
                    written += 1;
                    match value {
                        Some(value) => table.insert(&key[..], &value[..]).map_err(from_redb)?,
                        None => table.remove(&key[..]).map_err(from_redb)?,
                    };
                }
            }
            self.written.fetch_add(written, Ordering::Relaxed);
            writing.commit().map_err(from_redb)
        })
    }
}

struct RedbSnapshot {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Snapshot for RedbSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        fenced("reading it", || {
            let row = self.table.get(key).map_err(from_redb)?;
            Ok(row.map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Rows<'a>, StoreError> {
        if is_empty_range(lower, upper) {
            return Ok(Box::new(std::iter::empty()));
        }
        let mut range =
            fenced("reading it", || self.table.range::<&[u8]>((lower, upper)).map_err(from_redb)).map(Some)?;
        Ok(Box::new(std::iter::from_fn(move || {
            let rows = range.as_mut()?;
            let row = fenced("reading it", || {
                let row = if reverse { rows.next_back() } else { rows.next() };
                let Some(row) = row else { return Ok(None) };
                let (key, value) = row.map_err(from_redb)?;
                Ok(Some((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value()))))
            });
            if !matches!(row, Ok(Some(_))) {
                range = None;
            }
            row.transpose()
        })))
    }
}

fn open_or_make(path: &Path) -> Result<FileBackend, StoreError> {
    if path.is_dir() {
        return Err(StoreError::Foreign("a directory, where a redb file is one file".to_owned()));
    }
    if !path.try_exists()? {
        create_file(path)?;
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    FileBackend::new(file).map_err(from_database)
}

/// Makes a complete database beside `path`, then renames it there, with file and directory synced
/// before anyone can rely on either.
///
/// redb writes its magic number last, and refuses a file that has bytes but none. The lock on the
/// unfinished file, and the second look at `path` under it, keep two processes that start at once in
/// one directory from replacing each other's database.
fn create_file(path: &Path) -> Result<(), StoreError> {
    let unfinished = unfinished_path(path);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&unfinished)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    if path.try_exists()? {
        return Ok(());
    }
    file.set_len(0)?;
    let backend = FileBackend::new(file.try_clone()?).map_err(from_database)?;
    drop(RedbEngine::open_backend(backend)?);
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_entry(path)
}

fn unfinished_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}

/// Makes an entry of a directory durable: the one that `path` names.
pub(super) fn sync_entry(path: &Path) -> Result<(), StoreError> {
    sync_directory(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes the entries of a directory durable.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    Ok(File::open(path)?.sync_all()?)
}

/// Elsewhere a directory cannot be opened as a file, and the file system orders the rename itself.
#[cfg(not(unix))]
pub(super) fn sync_directory(_path: &Path) -> Result<(), StoreError> {
    Ok(())
}

fn from_database(error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::Locked,
        DatabaseError::UpgradeRequired(version) => {
            StoreError::Foreign(format!("a redb file of the older format {version}"))
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Foreign(error.to_string())
        }
        other => from_redb(other),
    }
}

fn from_redb(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(what) => StoreError::Damaged(what),
        // A read beyond the end: the file was cut off.
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            StoreError::Damaged("the file is shorter than it says".to_owned())
        }
        redb::Error::Io(error) => StoreError::Io(error),
        redb::Error::PreviousIo => {
            StoreError::Failed("an earlier write to the store failed, and it takes no more".to_owned())
        }
        error @ (redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }) => StoreError::Foreign(error.to_string()),
        other => StoreError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod growth;
