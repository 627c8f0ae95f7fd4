//! The engine on sled: one directory, one tree of bytes to bytes.
//!
//! sled has atomic batches but no snapshots; they are made of undo rows, as `moment` tells. What must hold for them:
//! undo rows are there before the batch is, and a row of the tree is believed only if none of them says otherwise
//! *after* it was read. So a reader may be anywhere while a batch is applied.
//!
//! A write that failed may be half in the tree. Its undo rows stay, so that nobody sees it, and there are no more
//! writes until the store is opened anew. sled panics where files are damaged or a disk is full; every call into it is
//! fenced. `home` says how it is made durable. What sled does in its own threads cannot be fenced: a panic there ends
//! them, and with them the cleaning of its file.

mod home;
mod moment;

use std::fmt;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ::sled::{Batch, IVec};
use bytes::Bytes;

use self::home::Home;
use self::moment::{Before, Moment, comes_before};
use super::engine::{Engine, Rows, Snapshot, StoreError, is_empty_range};
use super::fence::fenced;
use super::select::as_slice;

/// Rows in a sled database.
pub(crate) struct SledEngine {
    home: Arc<Home>,
    writer: Mutex<Writer>,
    now: RwLock<Arc<Moment>>,
}

#[derive(Default)]
struct Writer {
    failed: bool,
}

impl fmt::Debug for SledEngine {
    /// sled's own would print every row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledEngine").finish_non_exhaustive()
    }
}

impl SledEngine {
    /// Opens the store in the directory at `path`, or makes it there.
    pub(crate) fn open_directory(path: &Path) -> Result<Self, StoreError> {
        let home = Arc::new(Home::open(path)?);
        Ok(SledEngine { home, writer: Mutex::default(), now: RwLock::default() })
    }

    /// Each lock guards a value that is replaced whole, so a panic leaves it as it was.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Arc<Moment> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Engine for SledEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(Arc::new(SledSnapshot { home: Arc::clone(&self.home), moment: self.now() }))
    }

    fn write(&self, rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>, sync: bool) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if writer.failed {
            return Err(StoreError::Failed("an earlier write to the store failed, and it takes no more".to_owned()));
        }
        let (mut batch, mut before) = (Batch::default(), Before::new());
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(&key[..], &value[..]),
                None => batch.remove(&key[..]),
            }
            let old = read(&self.home, &key)?;
            before.insert(key, old);
        }
        writer.failed = true;
        let next = self.now().end(before);
        fenced("writing it", || self.home.tree().apply_batch(batch).map_err(from_sled))?;
        if sync {
            self.home.sync()?;
        }
        writer.failed = false;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

struct SledSnapshot {
    home: Arc<Home>,
    moment: Arc<Moment>,
}

impl Snapshot for SledSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let row = read(&self.home, key)?;
        Ok(self.moment.get(key).cloned().unwrap_or(row))
    }

    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Rows<'a>, StoreError> {
        if is_empty_range(lower, upper) {
            return Ok(Box::new(std::iter::empty()));
        }
        let tree = fenced("reading it", || Ok(self.home.tree().range::<&[u8], _>((lower, upper))))?;
        let (lower, upper) = (lower.map(Bytes::copy_from_slice), upper.map(Bytes::copy_from_slice));
        Ok(Box::new(Scan { moment: &self.moment, tree: Some(tree), read: None, lower, upper, reverse }))
    }
}

/// The tree merged with the undo rows of all writes since the snapshot, those included that begin meanwhile.
struct Scan<'a> {
    moment: &'a Moment,
    /// `None` at its end, and after an error.
    tree: Option<::sled::Iter>,
    /// Read from the tree, and not yet passed.
    read: Option<(Bytes, Bytes)>,
    /// What is not yet passed.
    lower: Bound<Bytes>,
    upper: Bound<Bytes>,
    reverse: bool,
}

impl Scan<'_> {
    fn read(&mut self) -> Result<(), StoreError> {
        if let (None, Some(tree)) = (&self.read, &mut self.tree) {
            let reverse = self.reverse;
            let row = fenced("reading it", || {
                let row = if reverse { tree.next_back() } else { tree.next() };
                row.transpose().map_err(from_sled)
            })?;
            match row {
                Some((key, value)) => self.read = Some((bytes(&key), bytes(&value))),
                None => self.tree = None,
            }
        }
        Ok(())
    }

    /// Nothing up to this key is yielded any more.
    fn pass(&mut self, key: &Bytes) {
        let passed = Bound::Excluded(key.clone());
        if self.reverse { self.upper = passed } else { self.lower = passed }
    }

    fn step(&mut self) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        loop {
            self.read()?;
            // Asked after the row was read, and anew for one that was read earlier.
            let (lower, upper) = (as_slice(&self.lower), as_slice(&self.upper));
            let written = self.moment.first(lower, upper, self.reverse);
            let row = self.read.take();
            let turn = |key: &Bytes| row.as_ref().is_none_or(|row| !comes_before(&row.0, key, self.reverse));
            let Some((key, value)) = written.filter(|(key, _)| turn(key)) else {
                if let Some((key, _)) = &row {
                    self.pass(key);
                }
                return Ok(row);
            };
            self.pass(key);
            // What was read of this key is not believed; another key's turn is later.
            self.read = row.filter(|row| row.0 != *key);
            if let Some(value) = value {
                return Ok(Some((key.clone(), value.clone())));
            }
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.step();
        if row.is_err() {
            // It ends, undo rows included.
            (self.tree, self.read) = (None, None);
            (self.lower, self.upper) = (Bound::Excluded(Bytes::new()), Bound::Excluded(Bytes::new()));
        }
        row.transpose()
    }
}

/// The row as it is in the tree now.
fn read(home: &Home, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
    fenced("reading it", || Ok(home.tree().get(key).map_err(from_sled)?.as_ref().map(bytes)))
}

fn bytes(row: &IVec) -> Bytes {
    Bytes::copy_from_slice(row)
}

fn from_sled(error: ::sled::Error) -> StoreError {
    use ::sled::Error::{CollectionNotFound, Corruption, Io, ReportableBug, Unsupported};
    match error {
        Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            StoreError::Damaged("a file is shorter than it says".to_owned())
        }
        // Its way to say that it could not lock its file, with the cause as text.
        Io(error) if error.kind() == ErrorKind::Other && error.to_string().contains("acquire lock") => {
            StoreError::Locked
        }
        Io(error) => StoreError::Io(error),
        Unsupported(what) => StoreError::Foreign(what),
        error @ (Corruption { .. } | ReportableBug(_) | CollectionNotFound(_)) => {
            StoreError::Damaged(error.to_string())
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
