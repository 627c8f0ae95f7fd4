//! What can be agreed on: sessions opened and closed, what is done within one (a write, a transaction, a change of who
//! takes part), and the end of an epoch.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::reform::{Reform, Seal};
use super::transaction::Transaction;
use crate::schema::RecordId;

/// One thing to do, in log order, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Opens a session; its id comes back with the nonce. Applied twice, it opens a second one, which
    /// nobody uses and which ends as the least recently used.
    Open { nonce: [u8; 16] },
    /// Ends a session and forgets its outcomes.
    Close { session: SessionId },
    /// Does something, unless the session knows its number.
    Execute {
        session: SessionId,
        number: u64,
        /// The lowest number whose outcome the session still awaits, at most `number`.
        floor: u64,
        action: Action,
    },
    /// Ends an epoch: what is behind it in its entry, or in later rounds of its epoch, is void.
    Seal(Arc<Seal>),
}

/// What a session has done under one number. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Write(Write),
    Transact(Arc<Transaction>),
    Reform(Arc<Reform>),
    /// A record type is brought to the newest version that every member reads, or some more of its rows to that.
    Upgrade(RecordId),
    /// The same of one whose records expire, when it is this late: what has expired by then, as it is stored, is removed and
    /// not brought along into a version in which it has not.
    UpgradeAt {
        record: RecordId,
        now_ms: u64,
    },
    /// It is this late, in milliseconds since 1970: what has expired by then is removed, some of it at a time.
    Expire {
        now_ms: u64,
    },
}

impl From<Write> for Action {
    fn from(write: Write) -> Self {
        Action::Write(write)
    }
}

impl From<Reform> for Action {
    fn from(reform: Reform) -> Self {
        Action::Reform(Arc::new(reform))
    }
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
    pub(crate) fn record(&self) -> RecordId {
        match self {
            Write::Put { record, .. } | Write::Insert { record, .. } | Write::Remove { record, .. } => *record,
        }
    }

    /// Its value, or the key that it removes.
    pub(crate) fn payload(&self) -> &Bytes {
        match self {
            Write::Put { value, .. } | Write::Insert { value, .. } => value,
            Write::Remove { key, .. } => key,
        }
    }

    /// The size of its key or value.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload().len()
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
