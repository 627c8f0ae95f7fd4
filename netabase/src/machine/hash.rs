//! One hash over all replicated state, to see that two nodes that applied the same rounds hold the same.
//!
//! Over the record rows, the index rows, the sessions, the named calls, the list of members and the clock of what
//! expires, in key order, each as length and bytes. Not the meta rows: when a node flushed is its own affair. Rows are read through the view, so it makes no
//! difference which of them are in an overlay and which in the engine.

use std::fmt;
use std::ops::Bound;

use super::requests;
use super::sessions::{self, Captured};
use crate::Error;
use crate::storage::{Rows, View, layout};

/// blake3 of all replicated state.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StateHash([u8; 32]);

impl StateHash {
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The state as of one applied round. Reads all of it, so ask it on a thread of its own.
#[derive(Debug)]
pub(crate) struct State {
    view: View,
    sessions: Vec<Captured>,
    requests: requests::Captured,
}

impl State {
    pub(super) fn new(view: View, sessions: Vec<Captured>, requests: requests::Captured) -> Self {
        State { view, sessions, requests }
    }

    /// The round up to which it is applied.
    pub(crate) fn applied(&self) -> u64 {
        self.view.applied()
    }

    pub(crate) fn hash(&self) -> Result<StateHash, Error> {
        let mut hasher = blake3::Hasher::new();
        let (lower, upper) = ([layout::SPACE_RECORD], [layout::SPACE_SESSION]);
        for row in self.view.scan(Bound::Included(&lower), Bound::Excluded(&upper), false)? {
            let (key, value) = row?;
            update(&mut hasher, &key);
            update(&mut hasher, &value);
        }
        for row in self.sessions.iter().map(sessions::row).chain(self.requests.rows()) {
            let (key, value) = row?;
            update(&mut hasher, &key);
            update(&mut hasher, &value.unwrap_or_default());
        }
        for row in self.view.scan_prefix(&layout::version_prefix())? {
            let (key, value) = row?;
            update(&mut hasher, &key);
            update(&mut hasher, &value);
        }
        for key in [layout::roster_key(), layout::clock_key()] {
            if let Some(row) = self.view.get(&key)? {
                update(&mut hasher, &key);
                update(&mut hasher, &row);
            }
        }
        Ok(StateHash(*hasher.finalize().as_bytes()))
    }
}

/// With its length before it, so that no two lists of rows are the same bytes.
fn update(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
}
