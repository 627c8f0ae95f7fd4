//! Where the log's database is: open, except for the moment in which it is opened anew.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use redb::Database;

use crate::error::{Error, Result};

/// Opens the log's file again; `None` while that cannot be, for want of room or since somebody still has it open.
pub(crate) type Reopen = Box<dyn Fn() -> Result<Option<Database>> + Send + Sync>;

/// Shared by the writer, which alone opens it anew, and by all who read.
#[derive(Clone)]
pub(super) struct Home(Arc<Inner>);

struct Inner {
    database: RwLock<Option<Arc<Database>>>,
    reopen: OnceLock<Reopen>,
}

impl Home {
    pub(super) fn new(database: Database) -> Self {
        Home(Arc::new(Inner { database: RwLock::new(Some(Arc::new(database))), reopen: OnceLock::new() }))
    }

    /// How the file is opened again; without this a full disk is as bad as a broken one.
    pub(super) fn reopen_with(&self, reopen: Reopen) {
        let _ = self.0.reopen.set(reopen);
    }

    pub(super) fn can_be_reopened(&self) -> bool {
        self.0.reopen.get().is_some()
    }

    /// # Errors
    /// [`Error::Storage`] while it is being opened anew.
    pub(super) fn database(&self) -> Result<Arc<Database>> {
        let database = self.0.database.read().unwrap_or_else(PoisonError::into_inner).clone();
        database.ok_or_else(|| Error::Storage { reason: "the consensus log is being opened anew".into(), source: None })
    }

    /// Lets go of the file and opens it again. Where that cannot be yet, it is closed, and is tried again.
    pub(super) fn reopen(&self) -> Result<Option<Arc<Database>>> {
        let Some(reopen) = self.0.reopen.get() else { return Ok(None) };
        let mut home = self.0.database.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever is reading right now holds it a moment longer: then it is locked, and tried again.
        drop(home.take());
        *home = reopen()?.map(Arc::new);
        Ok(home.clone())
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}
