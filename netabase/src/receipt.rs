//! What a write returns, to a node or to a store alone.

use crate::command::Applied;

/// Proof that a write is durable: on a quorum and applied on this node, or on the disk of a store alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    round: u64,
    existed: bool,
}

impl Receipt {
    #[cfg(feature = "paxos")]
    pub(crate) fn of(applied: Applied) -> Self {
        Receipt { round: applied.round, existed: applied.existed }
    }

    /// Of a store alone, which has no rounds.
    pub(crate) fn local(applied: Applied) -> Self {
        Receipt { round: 0, existed: applied.existed }
    }

    pub(crate) fn nothing() -> Self {
        Receipt { round: 0, existed: false }
    }

    /// The round in which the write was agreed on. `None` for records without consensus, and where nothing was written.
    #[must_use]
    pub fn round(&self) -> Option<u64> {
        (self.round > 0).then_some(self.round)
    }

    /// Whether there was a record under the key before.
    #[must_use]
    pub fn existed(&self) -> bool {
        self.existed
    }
}
