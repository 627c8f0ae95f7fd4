//! A node's files on disks that lose power.
//!
//! Must hold: what was opened before a power cut can neither read nor write after it, the card included: a node that
//! notices that its disks are gone before its thread is stopped must not leave anything behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::Database;

use super::{ForgetfulDisk, Unsynced};
#[cfg(feature = "sled")]
use crate::error::Error;
use crate::error::Result;
use crate::node::Volume;
use crate::storage::StoreKind;
use crate::storage::{Engine, MemoryEngine, RedbEngine, StoreError, open_database};

/// Three files: the card, which is replaced atomically, and the disks of the log and of the store.
#[derive(Clone, Debug)]
pub(crate) struct Disks(Arc<Mutex<Files>>);

#[derive(Debug)]
struct Files {
    /// How often the power was cut.
    cuts: u64,
    card: Option<Vec<u8>>,
    log: Option<ForgetfulDisk>,
    store: ForgetfulDisk,
}

impl Disks {
    pub(crate) fn new() -> Self {
        Disks(Arc::new(Mutex::new(Files { cuts: 0, card: None, log: None, store: ForgetfulDisk::new() })))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> ForgetfulDisk {
        self.files().log.get_or_insert_default().clone()
    }

    pub(crate) fn store(&self) -> ForgetfulDisk {
        self.files().store.clone()
    }

    pub(crate) fn power_cut(&self, unsynced: Unsynced) {
        let mut files = self.files();
        files.cuts += 1;
        files.log = files.log.take().map(|disk| disk.power_cut(unsynced));
        files.store = files.store.power_cut(unsynced);
    }

    pub(crate) fn lose_log(&self) {
        self.files().log = None;
    }
}

/// The disks as one start of the node has them: until the power is cut.
#[derive(Debug)]
pub(crate) struct Mounted {
    disks: Disks,
    cuts: u64,
}

impl Disks {
    /// For the next start of the node.
    pub(crate) fn mount(&self) -> Mounted {
        Mounted { disks: self.clone(), cuts: self.files().cuts }
    }
}

impl Mounted {
    fn powered(&self) -> Result<MutexGuard<'_, Files>, StoreError> {
        let files = self.disks.files();
        if files.cuts == self.cuts {
            Ok(files)
        } else {
            Err(StoreError::Io(std::io::Error::other("the power of this disk was cut after it was opened")))
        }
    }
}

impl Volume for Mounted {
    fn read_card(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.powered()?.card.clone())
    }

    fn write_card(&self, card: &[u8]) -> Result<()> {
        self.powered()?.card = Some(card.to_vec());
        Ok(())
    }

    fn has_log(&self) -> bool {
        self.powered().is_ok_and(|files| files.log.is_some())
    }

    fn open_log(&self) -> Result<Database, StoreError> {
        let log = self.powered()?.log.get_or_insert_default().clone();
        open_database(log)
    }

    fn set_log_aside(&self) -> Result<()> {
        self.powered()?.log = None;
        Ok(())
    }

    fn open_store(&self, kind: StoreKind) -> Result<Arc<dyn Engine>> {
        let store = self.powered()?.store.clone();
        match kind {
            StoreKind::Redb => Ok(Arc::new(RedbEngine::open_backend(store)?)),
            StoreKind::Memory => Ok(Arc::new(MemoryEngine::default())),
            #[cfg(feature = "sled")]
            StoreKind::Sled => Err(Error::Configuration {
                option: "store",
                reason: "sled needs a directory, and a node of a test cluster has disks in memory: take \
                         `StoreKind::Redb`, or start the node in a directory"
                    .into(),
            }),
        }
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
        assert_eq!(disks.mount().read_card().unwrap().as_deref(), Some(&b"mine"[..]));
    }
}
