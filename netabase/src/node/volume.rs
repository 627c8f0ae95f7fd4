//! Where a node keeps its files: a directory, or, in tests, disks that lose power.
//!
//! ```text
//! identity.key   the node's key
//! node           the card: whose directory this is
//! log.redb       the acceptor log; log.redb.<cluster>: that of a cluster that was left by `recover_alone`
//! store.redb     the records; with sled a directory store.sled, or store.sled.<round> once a snapshot was installed
//! lock           locked by the process that has the directory open
//! ballast        nothing; it takes room that is let go of when the disk fills up
//! store.redb.compact   a copy of store.redb that is shorter, until it takes its name
//! snapshot.*, store.*.new, install: see `vault`, and `alone`
//! ```
//!
//! Must hold: every file that is made or renamed is synced, and its directory with it, before the first vote (D14).

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::Database;

use self::site::FileSite;
use super::ballast;
use crate::error::{Error, Result};
use crate::machine::Keeper;
#[cfg(feature = "sled")]
use crate::storage::SledEngine;
use crate::storage::archive::{ArchiveError, Blob, Unpacking};
use crate::storage::{
    CompactLimits, Compacting, Engine, InUse, MemoryEngine, Open, Patience, RedbEngine, StoreError, StoreKind,
    file_backend, open_database,
};

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
    /// Puts the log of this cluster out of the way for good, durably. Where it is already, another one that is there is
    /// what was begun after it, and is removed.
    fn leave_log(&self, cluster: &str) -> Result<()>;
    fn open_store(&self, kind: StoreKind) -> Result<Arc<dyn Engine>>;

    /// Opens a file beside log and store, or makes it, with a name that is durable. Not while it is open.
    fn open_side(&self, side: Side) -> Result<Blob, StoreError>;
    fn has_side(&self, side: Side) -> bool;
    fn remove_side(&self, side: Side) -> Result<()>;

    /// Says durably that the store that was made is to take the place of the one in use.
    fn write_marker(&self, marker: &[u8]) -> Result<()>;
    fn read_marker(&self) -> Result<Option<Vec<u8>>>;
    /// Durably: nothing is left to be completed.
    fn remove_marker(&self) -> Result<()>;
    /// An empty store beside the one in use, in the place of an earlier one. `None`: a store in memory, which is read
    /// from the snapshot itself whenever it is opened.
    fn make_store(&self, kind: StoreKind) -> Result<Option<Arc<dyn Engine>>>;
    /// Puts the store that was made, of this round, in the place of the one in use, durably; nothing, if it is there.
    fn swap_store(&self, kind: StoreKind, round: u64) -> Result<()>;
    /// Removes a store that was made and is not wanted.
    fn drop_new_store(&self) -> Result<()>;

    /// Whether a flush that finds the disk full waits for room, or fails.
    fn wait_for_room(&self, waits: bool);

    /// What tells when the store's files are closed.
    fn patience(&self) -> Arc<Patience>;
    /// Bytes that can still be written, where that is known.
    fn free_bytes(&self) -> Option<u64>;
    /// Takes room on the disk that can be let go of; `false` when there is none to take.
    fn hold_ballast(&self) -> Result<bool>;
    /// Lets go of it; `false` when none was held.
    fn release_ballast(&self) -> Result<bool>;
}

/// Files beside log and store. What is in them can be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// A snapshot for peers.
    Outgoing,
    /// A snapshot of a peer.
    Incoming,
    /// Which one that is, and how much of it is synced.
    Mark,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Outgoing => "snapshot.out",
            Side::Incoming => "snapshot.part",
            Side::Mark => "snapshot.mark",
        }
    }
}

/// A data directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// How much of the records redb keeps in memory.
    cache_bytes: usize,
    /// Two processes in one directory would remove each other's files before either came to the store's lock.
    _lock: File,
    store: InUse,
    patience: Arc<Patience>,
    limits: CompactLimits,
    /// Dropped after the lock.
    _open: Open,
}

const CARD: &str = "node";
const CARD_NEW: &str = "node.new";
const LOG: &str = "log.redb";
const LOG_ASIDE: &str = "log.redb.damaged";
const REDB: &str = "store.redb";
const BALLAST: &str = "ballast";
const REDB_COMPACT: &str = "store.redb.compact";
const REDB_NEW: &str = "store.redb.new";
const SLED: &str = "store.sled";
const SLED_NEW: &str = "store.sled.new";
/// What a store in memory begins with.
const MEMORY: &str = "store.snapshot";
const MARKER: &str = "install";
const LOCK: &str = "lock";

/// What holds the records, by the name of its [`StoreKind`]; also those of kinds that this program was built without.
const STORES: [(&str, &str); 2] = [("Redb", REDB), ("Sled", SLED)];

impl Directory {
    /// Makes the directory where it is missing.
    pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Self> {
        fs::create_dir_all(path).map_err(|source| Error::DataDirectory {
            reason: format!("`{}` cannot be made: {source}; choose another one with `data_dir`", path.display()),
        })?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        let lock = lock(&path.join(LOCK)).map_err(|error| match error.into() {
            Error::DataDirectory { reason } => {
                Error::DataDirectory { reason: format!("`{}`: {reason}", path.display()) }
            }
            other => other,
        })?;
        let patience = Arc::new(Patience::default());
        Ok(Directory {
            path: path.to_owned(),
            cache_bytes,
            _lock: lock,
            store: InUse::default(),
            _open: patience.hold(),
            patience,
            limits: CompactLimits::default(),
        })
    }

    /// With other limits of compaction than those of a store that is worth it.
    #[cfg(test)]
    pub(crate) fn compacting_at(self, limits: CompactLimits) -> Self {
        Directory { limits, ..self }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Another kind would begin an empty store beside the one that is there.
    fn check_kind(&self, kind: StoreKind) -> Result<()> {
        let kind = format!("{kind:?}");
        let is_there = |name: &str| self.file(name).exists() || (name == SLED && !self.sled_stores().is_empty());
        match STORES.iter().find(|(other, name)| *other != kind && is_there(name)) {
            None => Ok(()),
            Some((other, name)) => Err(self.in_it(Error::DataDirectory {
                reason: format!(
                    "its records are in `{name}`, of `StoreKind::{other}`, and it was opened with `StoreKind::{kind}`: \
                     start it with `StoreKind::{other}`, or use another directory"
                ),
            })),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match fs::read(self.file(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::storage(format!("{} cannot be read", self.file(name).display()), error)),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::storage(format!("{} cannot be removed", self.file(name).display()), error))
            }
            _ => Ok(()),
        }
    }

    /// Replaces a small file, atomically and durably.
    fn replace(&self, name: &str, new: &str, bytes: &[u8]) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let new = self.file(new);
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, self.file(name))
        };
        write().map_err(|error| {
            Error::storage(format!("{} cannot be written: check the disk and its rights", self.path.display()), error)
        })?;
        sync_directory(&self.path)
    }

    /// The directories of sled stores, the one in use last.
    fn sled_stores(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let is_store = |name: &str| {
            let rest = name.strip_prefix(SLED);
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(|n| n.parse::<u64>().is_ok()))
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| is_store(name)).collect();
        names.sort_unstable();
        names.iter().map(|name| self.file(name)).collect()
    }

    #[cfg(feature = "sled")]
    fn sled_in_use(&self) -> PathBuf {
        self.sled_stores().pop().unwrap_or_else(|| self.file(SLED))
    }

    pub(crate) fn open_redb(&self) -> Result<Arc<Compacting>, StoreError> {
        let engine = Arc::new(RedbEngine::open_patient_file(&self.file(REDB), &self.patience, self.cache_bytes)?);
        let engine = Compacting::new(
            engine,
            Box::new(FileSite::new(&self.path, [REDB, REDB_COMPACT], &self.patience, self.cache_bytes)),
            self.limits,
        );
        self.store.set(&engine);
        Ok(engine)
    }

    fn open_memory(&self) -> Result<Arc<dyn Engine>, StoreError> {
        let engine = Arc::new(MemoryEngine::default());
        if self.file(MEMORY).try_exists()? {
            let file = OpenOptions::new().read(true).write(true).open(self.file(MEMORY))?;
            fill_memory(&engine, &file_backend(file)?)?;
        }
        Ok(engine)
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
        self.read(CARD)
    }

    fn write_card(&self, card: &[u8]) -> Result<()> {
        self.replace(CARD, CARD_NEW, card)
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

    fn leave_log(&self, cluster: &str) -> Result<()> {
        let aside = self.file(&format!("{LOG}.{cluster}"));
        if aside.exists() {
            self.remove(LOG)?;
        } else if self.has_log() {
            fs::rename(self.file(LOG), aside)
                .map_err(|error| Error::storage("the consensus log of the old cluster cannot be put aside", error))?;
        }
        sync_directory(&self.path)
    }

    fn open_store(&self, kind: StoreKind) -> Result<Arc<dyn Engine>> {
        self.check_kind(kind)?;
        let engine: Result<Arc<dyn Engine>, StoreError> = match kind {
            StoreKind::Redb => self.open_redb().map(|engine| engine as _),
            StoreKind::Memory => self.open_memory(),
            #[cfg(feature = "sled")]
            StoreKind::Sled => SledEngine::open_directory(&self.sled_in_use()).map(|engine| Arc::new(engine) as _),
        };
        engine.map_err(|error| self.in_it(error.into()))
    }

    fn open_side(&self, side: Side) -> Result<Blob, StoreError> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.file(side.name()))?;
        // A marker must not outlive the name of what it speaks of.
        File::open(&self.path)?.sync_all()?;
        Ok(Arc::new(file_backend(file)?))
    }

    fn has_side(&self, side: Side) -> bool {
        self.file(side.name()).exists()
    }

    fn remove_side(&self, side: Side) -> Result<()> {
        self.remove(side.name())
    }

    fn write_marker(&self, marker: &[u8]) -> Result<()> {
        self.replace(MARKER, "install.new", marker)
    }

    fn read_marker(&self) -> Result<Option<Vec<u8>>> {
        self.read(MARKER)
    }

    fn remove_marker(&self) -> Result<()> {
        self.remove(MARKER)?;
        sync_directory(&self.path)
    }

    fn make_store(&self, kind: StoreKind) -> Result<Option<Arc<dyn Engine>>> {
        self.drop_new_store()?;
        let engine: Result<Arc<dyn Engine>, StoreError> = match kind {
            StoreKind::Redb => RedbEngine::open_file(&self.file(REDB_NEW)).map(|engine| Arc::new(engine) as _),
            StoreKind::Memory => return Ok(None),
            #[cfg(feature = "sled")]
            StoreKind::Sled => SledEngine::open_directory(&self.file(SLED_NEW)).map(|engine| Arc::new(engine) as _),
        };
        Ok(Some(engine?))
    }

    fn swap_store(&self, kind: StoreKind, round: u64) -> Result<()> {
        let (new, place) = match kind {
            StoreKind::Redb => (self.file(REDB_NEW), self.file(REDB)),
            StoreKind::Memory => (self.file(Side::Incoming.name()), self.file(MEMORY)),
            // Whoever still reads the one in use writes under its name, too: so the new one has another.
            #[cfg(feature = "sled")]
            StoreKind::Sled => (self.file(SLED_NEW), self.file(&format!("{SLED}.{round:020}"))),
        };
        let _ = round;
        // A copy of the one in use must not take the new one's place.
        self.store.close();
        if new.exists() {
            fs::rename(&new, &place)
                .map_err(|error| Error::storage(format!("{} cannot be put in place", place.display()), error))?;
        }
        sync_directory(&self.path)
    }

    fn drop_new_store(&self) -> Result<()> {
        self.remove(REDB_NEW)?;
        self.remove("store.redb.new.unfinished")?;
        for stale in self.sled_stores().into_iter().rev().skip(1).chain([self.file(SLED_NEW)]) {
            match fs::remove_dir_all(&stale) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::storage(format!("{} cannot be removed", stale.display()), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn wait_for_room(&self, waits: bool) {
        self.patience.set(waits);
    }

    fn patience(&self) -> Arc<Patience> {
        Arc::clone(&self.patience)
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

/// Reads a snapshot into memory.
pub(crate) fn fill_memory(engine: &MemoryEngine, file: &dyn redb::StorageBackend) -> Result<(), StoreError> {
    let filled =
        Unpacking::begin(file).and_then(|rows| rows.into_engine(engine, Keeper::Node.name().as_bytes(), &|| true));
    match filled {
        Ok(_) => Ok(()),
        Err(ArchiveError::Disk(error)) => Err(error.into()),
        Err(ArchiveError::Store(error)) => Err(error),
        Err(error) => Err(StoreError::Damaged(format!("the snapshot that it begins with: {error}"))),
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| Error::DataDirectory {
        reason: format!("`{}` cannot be synced: {error}; use a directory on a disk of this machine", path.display()),
    })
}

mod site;
#[cfg(test)]
mod tests;
