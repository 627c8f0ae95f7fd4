//! What a watch yields, and where one resumes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::schema::{Key, Record};
use crate::storage::Place;

/// A write that a watch was told of.
///
/// New fields may come: match with `..`.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<R: Record> {
    /// A record was stored.
    #[non_exhaustive]
    Put {
        /// The round in which it was agreed on. `None` for records without consensus.
        round: Option<u64>,
        /// The record as it was stored.
        record: R,
        /// What was stored under its key before; also if that had expired, and was not removed yet.
        previous: Option<R>,
        #[doc(hidden)]
        cursor: Cursor,
    },
    /// A record was removed.
    #[non_exhaustive]
    Remove {
        /// The round in which it was agreed on. `None` for records without consensus.
        round: Option<u64>,
        /// The key of the record.
        key: R::Key,
        /// What was stored under it before; of a record that expired, that record.
        previous: Option<R>,
        #[doc(hidden)]
        cursor: Cursor,
    },
}

impl<R: Record> Change<R> {
    /// Where a watch goes on behind this change: `db.watch(..).after(cursor)`, on any node of the cluster.
    ///
    /// Of a record that [`with_current`](super::Watch::with_current) found, it is the place where the changes begin: what
    /// was found and not read yet is not repeated there.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        match self {
            Change::Put { cursor, .. } | Change::Remove { cursor, .. } => *cursor,
        }
    }

    /// The key of the record.
    #[must_use]
    pub fn key(&self) -> R::Key {
        match self {
            Change::Put { record, .. } => record.key(),
            Change::Remove { key, .. } => key.clone(),
        }
    }

    pub(super) fn of(event: &Event) -> Result<Self> {
        let (round, cursor, change) = (Some(event.round), Cursor::of(event.place), &event.change);
        let previous = change.before.as_ref().map(|(_, value)| R::__decode(value)).transpose()?;
        match &change.after {
            Some(value) => Ok(Change::Put { round, record: R::__decode(value)?, previous, cursor }),
            None => {
                let key = R::Key::decode(&mut &change.key[..]);
                let key = key.map_err(|error| Error::Codec { record: R::NAME.into(), reason: error.to_string() })?;
                Ok(Change::Remove { round, key, previous, cursor })
            }
        }
    }
}

/// A place among the changes of a cluster: a round, and a position in it. The same on every node, in their order.
///
/// To keep it, write it with serde, or as text:
///
/// ```
/// use netabase::Cursor;
/// let cursor: Cursor = "1042:3".parse()?;
/// assert_eq!((cursor.round(), cursor.to_string().as_str()), (1042, "1042:3"));
/// # Ok::<(), netabase::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    round: u64,
    position: u32,
}

impl Cursor {
    fn of(place: Place) -> Self {
        Cursor { round: place.round, position: place.position }
    }

    pub(super) fn place(self) -> Place {
        Place { round: self.round, position: self.position }
    }

    /// The round.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.round
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.round, self.position)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once(':').map(|(round, position)| (round.parse(), position.parse()));
        match parts {
            Some((Ok(round), Ok(position))) => Ok(Cursor { round, position }),
            _ => Err(Error::Configuration {
                option: "after",
                reason: format!("`{text}` is not a cursor: it is written as `1042:3`, a round and a position"),
            }),
        }
    }
}
