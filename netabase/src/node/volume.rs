//! Where a node keeps its files: a directory, or, in tests, disks that lose power.
//!
//! ```text
//! identity.key   the node's key
//! node           the card: whose directory this is
//! log.redb       the acceptor log
//! store.redb     the records, or with sled the directory store.sled
//! ballast        nothing; it takes room that is let go of when the disk fills up
//! ```
//!
//! Must hold: every file that is made or renamed is synced, and its directory with it, before the first vote (D14).

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::Database;

use super::ballast;
use crate::error::{Error, Result};
#[cfg(feature = "sled")]
use crate::storage::SledEngine;
use crate::storage::{Engine, MemoryEngine, RedbEngine, StoreError, StoreKind, file_backend, open_database};

/// What a node needs of its disk.
pub(crate) trait Volume: Debug + Send + Sync {
    fn read_card(&self) -> Result<Option<Vec<u8>>>;
    /// Replaces the card, atomically and durably.
    fn write_card(&self, card: &[u8]) -> Result<()>;
    fn has_log(&self) -> bool;
    /// Opens the log, or makes it.
    fn open_log(&self) -> Result<Database, StoreError>;
    /// Puts a log that cannot be used out of the way.
    fn set_log_aside(&self) -> Result<()>;
    fn open_store(&self, kind: StoreKind) -> Result<Arc<dyn Engine>>;
    /// Bytes that can still be written, where that is known.
    fn free_bytes(&self) -> Option<u64>;
    /// Takes room on the disk that can be let go of; `false` when there is none to take.
    fn hold_ballast(&self) -> Result<bool>;
    /// Lets go of it; `false` when none was held.
    fn release_ballast(&self) -> Result<bool>;
}

/// A data directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

const CARD: &str = "node";
const CARD_NEW: &str = "node.new";
const LOG: &str = "log.redb";
const LOG_ASIDE: &str = "log.redb.damaged";
const REDB: &str = "store.redb";
const BALLAST: &str = "ballast";
const SLED: &str = "store.sled";

/// What holds the records, by the name of its [`StoreKind`]; also those of kinds that this program was built without.
const STORES: [(&str, &str); 2] = [("Redb", REDB), ("Sled", SLED)];

impl Directory {
    /// Makes the directory where it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(|source| Error::DataDirectory {
            reason: format!("`{}` cannot be made: {source}; choose another one with `data_dir`", path.display()),
        })?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(Directory { path: path.to_owned() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Another kind would begin an empty store beside the one that is there.
    fn check_kind(&self, kind: StoreKind) -> Result<()> {
        let kind = format!("{kind:?}");
        match STORES.iter().find(|(other, name)| *other != kind && self.file(name).exists()) {
            None => Ok(()),
            Some((other, name)) => Err(self.in_it(Error::DataDirectory {
                reason: format!(
                    "its records are in `{name}`, of `StoreKind::{other}`, and it was opened with `StoreKind::{kind}`: \
                     start it with `StoreKind::{other}`, or use another directory"
                ),
            })),
        }
    }

    fn in_it(&self, error: Error) -> Error {
        match error {
            Error::DataDirectory { reason } => {
                Error::DataDirectory { reason: format!("{}: {reason}", self.path.display()) }
            }
            other => other,
        }
    }
}

impl Volume for Directory {
    fn read_card(&self) -> Result<Option<Vec<u8>>> {
        match fs::read(self.file(CARD)) {
            Ok(card) => Ok(Some(card)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::storage(format!("{} cannot be read", self.file(CARD).display()), error)),
        }
    }

    fn write_card(&self, card: &[u8]) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let new = self.file(CARD_NEW);
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
            file.write_all(card)?;
            file.sync_all()?;
            fs::rename(&new, self.file(CARD))
        };
        write().map_err(|error| {
            Error::storage(format!("{} cannot be written: check the disk and its rights", self.path.display()), error)
        })?;
        sync_directory(&self.path)
    }

    fn has_log(&self) -> bool {
        self.file(LOG).exists()
    }

    fn open_log(&self) -> Result<Database, StoreError> {
        let path = self.file(LOG);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let database = open_database(file_backend(file)?)?;
        File::open(&path)?.sync_all()?;
        File::open(&self.path)?.sync_all()?;
        Ok(database)
    }

    fn set_log_aside(&self) -> Result<()> {
        if self.has_log() {
            fs::rename(self.file(LOG), self.file(LOG_ASIDE))
                .map_err(|error| Error::storage("the damaged consensus log cannot be put aside", error))?;
        }
        sync_directory(&self.path)
    }

    fn open_store(&self, kind: StoreKind) -> Result<Arc<dyn Engine>> {
        self.check_kind(kind)?;
        let engine: Result<Arc<dyn Engine>, StoreError> = match kind {
            StoreKind::Redb => RedbEngine::open_file(&self.file(REDB)).map(|engine| Arc::new(engine) as _),
            StoreKind::Memory => Ok(Arc::new(MemoryEngine::default())),
            #[cfg(feature = "sled")]
            StoreKind::Sled => SledEngine::open_directory(&self.file(SLED)).map(|engine| Arc::new(engine) as _),
        };
        engine.map_err(|error| self.in_it(error.into()))
    }

    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.path).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn hold_ballast(&self) -> Result<bool> {
        ballast::hold(&self.file(BALLAST)).map_err(|error| Error::storage("the ballast cannot be made", error))
    }

    fn release_ballast(&self) -> Result<bool> {
        ballast::release(&self.file(BALLAST)).map_err(|error| Error::storage("the ballast cannot be removed", error))
    }
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| Error::DataDirectory {
        reason: format!("`{}` cannot be synced: {error}; use a directory on a disk of this machine", path.display()),
    })
}

#[cfg(test)]
mod tests;
