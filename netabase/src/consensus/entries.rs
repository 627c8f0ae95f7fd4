//! Makes the entries that this node proposes: a batch with an id that was never used before.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::command::{BatchBuilder, Entry, EntryIds};

/// Shared by everything that proposes on this node.
#[derive(Debug)]
pub(crate) struct Entries(Mutex<EntryIds>);

impl Entries {
    pub(crate) fn new(ids: EntryIds) -> Self {
        Entries(Mutex::new(ids))
    }

    /// The entry of these commands.
    pub(crate) fn of(&self, batch: BatchBuilder) -> Entry {
        self.of_body(batch.finish())
    }

    /// The entry of this body.
    pub(crate) fn of_body(&self, body: Bytes) -> Entry {
        let id = self.0.lock().unwrap_or_else(PoisonError::into_inner).next(&body);
        Entry { id, body }
    }

    /// An entry that changes nothing.
    pub(crate) fn no_op(&self) -> Entry {
        self.of(BatchBuilder::new())
    }
}
