//! What can be agreed on: sessions opened and closed, and writes within one.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::schema::RecordId;

/// One thing to do, in log order, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Opens a session; its id comes back with the nonce. Applied twice, it opens a second one, which
    /// nobody uses and which ends as the least recently used.
    Open { nonce: [u8; 16] },
    /// Ends a session and forgets its outcomes.
    Close { session: SessionId },
    /// Executes a write, unless the session knows its number.
    Write {
        session: SessionId,
        number: u64,
        /// The lowest number whose outcome the session still awaits, at most `number`.
        floor: u64,
        write: Write,
    },
}

/// A session is named by the round of its `Open` and that command's position in the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct SessionId {
    pub(crate) round: u64,
    pub(crate) position: u32,
}

/// A change of one record, with its index rows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Write {
    /// Writes the record that `value` encodes, whether it is there or not.
    Put { record: RecordId, value: Bytes },
    /// Writes it, and is refused if its key is taken.
    Insert { record: RecordId, value: Bytes },
    /// Removes what is there under `key`.
    Remove { record: RecordId, key: Bytes },
}

impl Write {
    /// The size of its key or value.
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Write::Put { value, .. } | Write::Insert { value, .. } => value.len(),
            Write::Remove { key, .. } => key.len(),
        }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, record) = match self {
            Write::Put { record, .. } => ("Put", record),
            Write::Insert { record, .. } => ("Insert", record),
            Write::Remove { record, .. } => ("Remove", record),
        };
        f.debug_struct(name).field("record", record).field("bytes", &self.payload_bytes()).finish()
    }
}
