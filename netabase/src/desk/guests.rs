//! Who is served: the clients that are let in, with what they may do.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Right {
    Read,
    Write,
}

/// The clients of a cluster, as one member knows them.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    rights: RwLock<HashMap<PeerId, Right>>,
}

impl Guests {
    /// Serves this peer from now on.
    #[cfg_attr(not(any(test, feature = "testing")), expect(dead_code, reason = "until clients are members of the log"))]
    pub(crate) fn admit(&self, peer: PeerId, right: Right) {
        self.rights.write().unwrap_or_else(PoisonError::into_inner).insert(peer, right);
    }

    /// What a peer may do; nothing at all, if it is no client.
    pub(super) fn right_of(&self, peer: &PeerId) -> Option<Right> {
        self.rights.read().unwrap_or_else(PoisonError::into_inner).get(peer).copied()
    }
}
