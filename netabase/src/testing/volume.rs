//! A node's files on disks that lose power.
//!
//! Must hold: what was opened before a power cut can neither read nor write after it, the card included: a node that
//! notices that its disks are gone before its thread is stopped must not leave anything behind. A name that was given to a
//! file, taken from it or changed is durable only once the directory was synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::Database;

use super::Random;
use super::disk::Fuse;
use super::{ForgetfulDisk, Unsynced};
#[cfg(feature = "sled")]
use crate::error::Error;
use crate::error::Result;
use crate::node::{Side, Volume, fill_memory};
use crate::storage::archive::Blob;
use crate::storage::{
    CompactLimits, Compacting, Engine, InUse, MemoryEngine, Patience, PatientFile, RedbEngine, Site, StoreError,
    StoreKind, open_database,
};

/// The card and the marker, which are replaced atomically, the disk of the log, and a directory of other files.
#[derive(Clone, Debug)]
pub(crate) struct Disks(Arc<Mutex<Files>>);

#[derive(Debug)]
struct Files {
    /// How often the power was cut.
    cuts: u64,
    card: Option<Vec<u8>>,
    marker: Option<Vec<u8>>,
    log: Option<ForgetfulDisk>,
    /// Logs of clusters that were left.
    left: BTreeMap<String, ForgetfulDisk>,
    folder: Folder,
    fuse: Option<Fuse>,
    compaction: CompactLimits,
}

type Names = BTreeMap<&'static str, ForgetfulDisk>;

/// Named files, with every state that the names were in since they were last synced.
#[derive(Debug)]
struct Folder {
    names: Names,
    synced: Names,
    between: Vec<Names>,
}

const STORE: &str = "store";
const STORE_COMPACT: &str = "store.compact";
const STORE_NEW: &str = "store.new";
/// The snapshot that a store in memory begins with.
const MEMORY: &str = "store.snapshot";

impl Folder {
    fn new() -> Self {
        let names = Names::from([(STORE, ForgetfulDisk::new())]);
        Folder { synced: names.clone(), names, between: Vec::new() }
    }

    fn change(&mut self, change: impl FnOnce(&mut Names)) {
        self.between.push(self.names.clone());
        change(&mut self.names);
    }

    fn sync(&mut self) {
        self.synced = self.names.clone();
        self.between.clear();
    }

    fn power_cut(&mut self, unsynced: Unsynced) {
        match unsynced {
            Unsynced::Lost => self.names = self.synced.clone(),
            Unsynced::Kept => {}
            Unsynced::Torn { seed } => {
                let chosen = Random::new(seed).index(self.between.len() + 1);
                if let Some(names) = self.between.get(chosen) {
                    self.names = names.clone();
                }
            }
        }
        for disk in self.names.values_mut() {
            *disk = disk.power_cut(unsynced);
        }
        self.sync();
    }
}

impl Disks {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let files = Files {
            cuts: 0,
            card: None,
            marker: None,
            log: None,
            left: BTreeMap::new(),
            folder,
            fuse: None,
            compaction: CompactLimits::default(),
        };
        Disks(Arc::new(Mutex::new(files)))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> ForgetfulDisk {
        self.files().log.get_or_insert_default().clone()
    }

    pub(crate) fn store(&self) -> ForgetfulDisk {
        self.files().folder.names[STORE].clone()
    }

    pub(crate) fn power_cut(&self, unsynced: Unsynced) {
        let mut files = self.files();
        files.cuts += 1;
        files.log = files.log.take().map(|disk| disk.power_cut(unsynced));
        files.left.values_mut().for_each(|disk| *disk = disk.power_cut(unsynced));
        files.folder.power_cut(unsynced);
        files.set_fuse(None);
    }

    /// The log of a cluster that was left.
    #[cfg(test)]
    pub(crate) fn left_log(&self, cluster: &str) -> Option<ForgetfulDisk> {
        self.files().left.get(cluster).cloned()
    }

    pub(crate) fn lose_log(&self) {
        self.files().log = None;
    }

    /// With other limits of compaction, from the next time on that the store is opened.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests of this crate use it"))]
    pub(crate) fn compact_at(&self, limits: CompactLimits) {
        self.files().compaction = limits;
    }

    /// A copy of the store, while it is being made.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests of this crate use it"))]
    pub(crate) fn copy(&self) -> Option<ForgetfulDisk> {
        self.files().folder.names.get(STORE_COMPACT).cloned()
    }

    /// Lets so many more changes happen on all of these disks, until the power is cut and restored.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests of this crate use it"))]
    pub(crate) fn set_fuse(&self, fuse: &Fuse) {
        self.files().set_fuse(Some(fuse.clone()));
    }
}

impl Files {
    fn set_fuse(&mut self, fuse: Option<Fuse>) {
        for disk in self.folder.names.values().chain(&self.log).chain(self.left.values()) {
            disk.set_fuse(fuse.clone());
        }
        self.fuse = fuse;
    }

    fn burn(&self) -> Result<(), StoreError> {
        Ok(self.fuse.as_ref().map_or(Ok(()), Fuse::burn)?)
    }

    fn new_disk(&self) -> ForgetfulDisk {
        let disk = ForgetfulDisk::new();
        disk.set_fuse(self.fuse.clone());
        disk
    }

    fn change(&mut self, change: impl FnOnce(&mut Names)) -> Result<(), StoreError> {
        self.burn()?;
        self.folder.change(change);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.burn()?;
        self.folder.sync();
        Ok(())
    }
}

/// The disks as one start of the node has them: until the power is cut.
#[derive(Debug)]
pub(crate) struct Mounted {
    disks: Disks,
    cuts: u64,
    store: InUse,
    patience: Arc<Patience>,
}

impl Disks {
    /// For the next start of the node.
    pub(crate) fn mount(&self) -> Mounted {
        Mounted { disks: self.clone(), cuts: self.files().cuts, store: InUse::default(), patience: Arc::default() }
    }
}

impl Mounted {
    fn powered(&self) -> Result<MutexGuard<'_, Files>, StoreError> {
        let files = self.disks.files();
        if files.cuts == self.cuts {
            Ok(files)
        } else {
            Err(StoreError::Io(io::Error::other("the power of this disk was cut after it was opened")))
        }
    }

    /// The store of redb, with its compaction.
    pub(crate) fn open_redb(&self) -> Result<Arc<Compacting>, StoreError> {
        let (disk, limits) = {
            let files = self.powered()?;
            (files.folder.names[STORE].clone(), files.compaction)
        };
        let site = DiskSite { disks: self.disks.clone(), cuts: self.cuts };
        let file = PatientFile::new(disk, Arc::clone(&self.patience));
        let engine = Compacting::new(Arc::new(RedbEngine::open_backend(file)?), Box::new(site), limits);
        self.store.set(&engine);
        Ok(engine)
    }
}

/// The store's disk, and that of its copy.
#[derive(Debug)]
struct DiskSite {
    disks: Disks,
    cuts: u64,
}

impl DiskSite {
    fn mounted(&self) -> Mounted {
        Mounted { disks: self.disks.clone(), cuts: self.cuts, store: InUse::default(), patience: Arc::default() }
    }
}

impl Site for DiskSite {
    fn taken(&self) -> Option<u64> {
        Some(self.disks.store().bytes_used())
    }

    fn has_room(&self, _bytes: u64) -> bool {
        true
    }

    fn make(&self) -> Result<Arc<dyn Engine>, StoreError> {
        let disk = {
            let mounted = self.mounted();
            let mut files = mounted.powered()?;
            let disk = files.new_disk();
            let named = disk.clone();
            files.change(|names| drop(names.insert(STORE_COMPACT, named)))?;
            disk
        };
        Ok(Arc::new(RedbEngine::open_backend(disk)?))
    }

    fn put_in_place(&self) -> Result<(), StoreError> {
        let mounted = self.mounted();
        let mut files = mounted.powered()?;
        files.change(|names| {
            if let Some(disk) = names.remove(STORE_COMPACT) {
                names.insert(STORE, disk);
            }
        })?;
        files.sync()
    }

    fn remove(&self) {
        let mounted = self.mounted();
        let Ok(mut files) = mounted.powered() else { return };
        if files.folder.names.contains_key(STORE_COMPACT) {
            let _ = files.change(|names| drop(names.remove(STORE_COMPACT)));
        }
    }
}

impl Volume for Mounted {
    fn read_card(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.powered()?.card.clone())
    }

    fn write_card(&self, card: &[u8]) -> Result<()> {
        let mut files = self.powered()?;
        files.burn()?;
        files.card = Some(card.to_vec());
        Ok(())
    }

    fn has_log(&self) -> bool {
        self.powered().is_ok_and(|files| files.log.is_some())
    }

    fn open_log(&self) -> Result<Database, StoreError> {
        let log = {
            let mut files = self.powered()?;
            let log = files.log.clone().unwrap_or_else(|| files.new_disk());
            files.log.insert(log).clone()
        };
        open_database(log)
    }

    fn set_log_aside(&self) -> Result<()> {
        self.powered()?.log = None;
        Ok(())
    }

    fn leave_log(&self, cluster: &str) -> Result<()> {
        let mut files = self.powered()?;
        files.burn()?;
        if let Some(log) = files.log.take() {
            files.left.entry(cluster.to_owned()).or_insert(log);
        }
        Ok(())
    }

    fn open_store(&self, kind: StoreKind) -> Result<Arc<dyn Engine>> {
        let snapshot = self.powered()?.folder.names.get(MEMORY).cloned();
        match kind {
            StoreKind::Redb => Ok(self.open_redb()?),
            StoreKind::Memory => {
                let engine = MemoryEngine::default();
                if let Some(snapshot) = snapshot {
                    fill_memory(&engine, &snapshot)?;
                }
                Ok(Arc::new(engine))
            }
            #[cfg(feature = "sled")]
            StoreKind::Sled => Err(no_sled()),
        }
    }

    fn open_side(&self, side: Side) -> Result<Blob, StoreError> {
        let mut files = self.powered()?;
        if !files.folder.names.contains_key(side.name()) {
            let disk = files.new_disk();
            files.change(|names| drop(names.insert(side.name(), disk)))?;
            files.sync()?;
        }
        Ok(Arc::new(files.folder.names[side.name()].clone()))
    }

    fn has_side(&self, side: Side) -> bool {
        self.powered().is_ok_and(|files| files.folder.names.contains_key(side.name()))
    }

    fn remove_side(&self, side: Side) -> Result<()> {
        Ok(self.powered()?.change(|names| drop(names.remove(side.name())))?)
    }

    fn write_marker(&self, marker: &[u8]) -> Result<()> {
        let mut files = self.powered()?;
        files.burn()?;
        files.marker = Some(marker.to_vec());
        Ok(files.sync()?)
    }

    fn read_marker(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.powered()?.marker.clone())
    }

    fn remove_marker(&self) -> Result<()> {
        let mut files = self.powered()?;
        files.burn()?;
        files.marker = None;
        Ok(files.sync()?)
    }

    fn make_store(&self, kind: StoreKind) -> Result<Option<Arc<dyn Engine>>> {
        let disk = {
            let mut files = self.powered()?;
            let disk = files.new_disk();
            let named = disk.clone();
            files.change(|names| drop(names.insert(STORE_NEW, named)))?;
            files.sync()?;
            disk
        };
        match kind {
            StoreKind::Redb => Ok(Some(Arc::new(RedbEngine::open_backend(disk)?))),
            StoreKind::Memory => Ok(None),
            #[cfg(feature = "sled")]
            StoreKind::Sled => Err(no_sled()),
        }
    }

    fn swap_store(&self, kind: StoreKind, _round: u64) -> Result<()> {
        self.store.close();
        let mut files = self.powered()?;
        let (new, place) = match kind {
            StoreKind::Memory => (Side::Incoming.name(), MEMORY),
            _ => (STORE_NEW, STORE),
        };
        files.change(|names| {
            if let Some(disk) = names.remove(new) {
                names.insert(place, disk);
            }
        })?;
        Ok(files.sync()?)
    }

    fn drop_new_store(&self) -> Result<()> {
        Ok(self.powered()?.change(|names| drop(names.remove(STORE_NEW)))?)
    }

    fn wait_for_room(&self, waits: bool) {
        self.patience.set(waits);
    }

    fn patience(&self) -> Arc<Patience> {
        Arc::clone(&self.patience)
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }

    fn hold_ballast(&self) -> Result<bool> {
        Ok(false)
    }

    fn release_ballast(&self) -> Result<bool> {
        Ok(false)
    }
}

#[cfg(feature = "sled")]
fn no_sled() -> Error {
    Error::Configuration {
        option: "store",
        reason: "sled needs a directory, and a node of a test cluster has disks in memory: take \
                 `StoreKind::Redb`, or start the node in a directory"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_after_a_power_cut() {
        let disks = Disks::new();
        let before = disks.mount();
        before.write_card(b"mine").unwrap();
        disks.power_cut(Unsynced::Kept);
        assert!(before.write_card(b"no longer").is_err());
        assert!(before.read_card().is_err() && before.open_log().is_err() && before.set_log_aside().is_err());
        assert!(before.open_side(Side::Mark).is_err() && before.write_marker(b"no longer").is_err());
        assert_eq!(disks.mount().read_card().unwrap().as_deref(), Some(&b"mine"[..]));
    }

    #[test]
    fn a_name_outlives_a_power_cut_once_the_directory_was_synced() {
        let disks = Disks::new();
        let mounted = disks.mount();
        mounted.open_side(Side::Incoming).unwrap();
        disks.power_cut(Unsynced::Lost);
        let mounted = disks.mount();
        assert!(mounted.has_side(Side::Incoming));
        mounted.remove_side(Side::Incoming).unwrap();
        disks.power_cut(Unsynced::Lost);
        let mounted = disks.mount();
        assert!(mounted.has_side(Side::Incoming), "its removal was not synced");
        mounted.remove_side(Side::Incoming).unwrap();
        mounted.write_marker(b"a sync of the directory").unwrap();
        disks.power_cut(Unsynced::Lost);
        assert!(!disks.mount().has_side(Side::Incoming));
    }
}
