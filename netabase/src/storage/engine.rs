//! What the store asks of an engine: one ordered map of rows, atomic writes, snapshots.
//!
//! An engine knows nothing of records, rounds or sessions. It has one writer (a flush) and any number of
//! readers, each on a snapshot that no later write changes. Damage is a [`StoreError`], never a panic.

use std::fmt::Debug;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::Error;

/// One ordered map of rows, on disk or in memory.
pub(crate) trait Engine: Send + Sync + Debug {
    /// The rows as of the last write, at no cost that grows with them.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError>;

    /// Writes all rows or none (`None` removes). With `sync`, they are durable when it returns.
    /// Fastest when the rows come in key order.
    fn write(&self, rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>, sync: bool) -> Result<(), StoreError>;

    /// Whether it waits for a synced write, though there may be no rows to be written.
    fn awaits_write(&self) -> bool {
        false
    }
}

/// The rows of an engine at one moment.
pub(crate) trait Snapshot: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The rows between the bounds in key order, or in reverse. Bounds that cross hold nothing.
    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Rows<'a>, StoreError>;
}

/// What a scan yields. It ends after the first error.
pub(crate) type Rows<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), StoreError>> + 'a>;

/// Whether no key can lie between the bounds. Asked before an ordered map is, because some panic on
/// bounds that cross.
pub(super) fn is_empty_range(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> bool {
    match (lower, upper) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
        (Bound::Included(lower) | Bound::Excluded(lower), Bound::Included(upper) | Bound::Excluded(upper)) => {
            lower >= upper
        }
    }
}

/// How an engine fails. Reaches the user as [`Error::DataDirectory`] or [`Error::Storage`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("another process has it open")]
    Locked,
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it was not written by this version of Netabase: {0}")]
    Foreign(String),
    #[error("{0}")]
    Io(#[source] io::Error),
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        StoreError::Io(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Locked => Error::DataDirectory {
                reason: "another process has this directory open: stop that process, or give this node a \
                         directory of its own"
                    .to_owned(),
            },
            StoreError::Damaged(what) => Error::DataDirectory {
                reason: format!(
                    "the store is damaged ({what}): keep a copy of the directory, check the disk, then restore a \
                     backup or start this node on an empty directory so that it fetches its data from the others"
                ),
            },
            StoreError::Foreign(what) => Error::DataDirectory {
                reason: format!(
                    "it was not written by this version of Netabase ({what}): name another directory, or open it \
                     with the program that wrote it"
                ),
            },
            StoreError::Io(error) => {
                let advice = match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                        "the disk or quota is full: free some space, then start this node again"
                    }
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        "this process may not write there: check the owner and the mode of the data directory"
                    }
                    io::ErrorKind::NotFound => "the data directory is gone: check that its disk is mounted",
                    _ => "the disk failed: check it and the system log, then start this node again",
                };
                Error::storage(format!("{advice} ({error})"), error)
            }
            StoreError::Failed(reason) => Error::Storage {
                reason: format!("{reason}: start this node again, and check the disk if it fails again"),
                source: None,
            },
        }
    }
}
