//! A node's files on disks that lose power.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::Database;

use super::{ForgetfulDisk, Unsynced};
use crate::error::Result;
use crate::node::Volume;
use crate::store::StoreKind;
use crate::store::{Engine, MemoryEngine, RedbEngine, StoreError, open_database};

/// Three files: the card, which is replaced atomically, and the disks of the log and of the store.
#[derive(Clone, Debug)]
pub(crate) struct Disks(Arc<Mutex<Files>>);

#[derive(Debug)]
struct Files {
    card: Option<Vec<u8>>,
    log: Option<ForgetfulDisk>,
    store: ForgetfulDisk,
}

impl Disks {
    pub(crate) fn new() -> Self {
        Disks(Arc::new(Mutex::new(Files { card: None, log: None, store: ForgetfulDisk::new() })))
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
        files.log = files.log.take().map(|disk| disk.power_cut(unsynced));
        files.store = files.store.power_cut(unsynced);
    }

    pub(crate) fn lose_log(&self) {
        self.files().log = None;
    }
}

impl Volume for Disks {
    fn read_card(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.files().card.clone())
    }

    fn write_card(&self, card: &[u8]) -> Result<()> {
        self.files().card = Some(card.to_vec());
        Ok(())
    }

    fn has_log(&self) -> bool {
        self.files().log.is_some()
    }

    fn open_log(&self) -> Result<Database, StoreError> {
        open_database(self.log())
    }

    fn set_log_aside(&self) -> Result<()> {
        self.lose_log();
        Ok(())
    }

    fn open_store(&self, kind: StoreKind) -> Result<Arc<dyn Engine>> {
        match kind {
            StoreKind::Redb => Ok(Arc::new(RedbEngine::open_backend(self.store())?)),
            StoreKind::Memory => Ok(Arc::new(MemoryEngine::default())),
        }
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}
