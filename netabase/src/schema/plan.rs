//! A query as bytes: what the store executes, without any of the user's types.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::{IndexId, RecordId};

/// The rows to read, by bounds over the encoded key (or index key, when `index` is set).
///
/// `lower <= upper` always (an inverted range is made empty before). `upper` over an index: `Included(k)` means every
/// row with that index key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) record: RecordId,
    pub(crate) index: Option<IndexId>,
    pub(crate) lower: Bound<Vec<u8>>,
    pub(crate) upper: Bound<Vec<u8>>,
    pub(crate) limit: Option<usize>,
    pub(crate) reverse: bool,
    pub(crate) after: Option<After>,
}

/// Where to go on: only what comes behind this row, in the direction of the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum After {
    /// Behind this primary key. Over an index: behind the row of the record that has this key now.
    Key(Vec<u8>),
    /// Behind this row of the index, whether it is still there or not.
    Row {
        /// The encoded index key.
        index_key: Vec<u8>,
        /// The encoded primary key.
        key: Vec<u8>,
    },
}

/// The least byte string above everything that starts with `prefix`; none, if that is everything.
pub(crate) fn successor(mut prefix: Vec<u8>) -> Bound<Vec<u8>> {
    while let Some(last) = prefix.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return Bound::Excluded(prefix);
        }
        prefix.pop();
    }
    Bound::Unbounded
}
