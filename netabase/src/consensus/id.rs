//! The names of things that consensus talks about: clusters, epochs, ballots, rounds, incarnations.
//!
//! A *round* is a slot of the replicated log; outside the keeper it is global and never reused. A *ballot* (paxakos:
//! coordination number) orders leaders; `ballot % voters` is the position of the node that owns it. An *epoch* is one
//! immutable list of voters.

use std::fmt;
use std::sync::Arc;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::schema::Fingerprint;

/// A slot of the replicated log, from 1; 0 is "nothing yet".
pub(crate) type Round = u64;

/// What orders leaders. 0 is reserved for polls, which Netabase does not use.
pub(crate) type Ballot = u64;

/// The number of an immutable list of voters, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Epoch(pub(crate) u64);

/// Which cluster a message, a log or a data directory belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ClusterId(pub(crate) [u8; 16]);

/// One life of a data directory: drawn at random when the directory is made, so that peers notice a replaced one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Incarnation(pub(crate) [u8; 16]);

/// The voters of an epoch, sorted: the order gives each its position. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Voters(Arc<[PeerId]>);

impl Voters {
    pub(crate) fn new(mut peers: Vec<PeerId>) -> Self {
        peers.sort_unstable_by_key(|peer| peer.to_bytes());
        peers.dedup();
        Voters(peers.into())
    }

    pub(crate) fn position(&self, peer: &PeerId) -> Option<usize> {
        self.0.iter().position(|voter| voter == peer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PeerId> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many nodes make a majority, this one included.
    pub(crate) fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Which voter a ballot belongs to. Not for a cluster of one, whose ballots are shared with its disk (D3).
    pub(crate) fn owner(&self, ballot: Ballot) -> Option<&PeerId> {
        let voters = u64::try_from(self.0.len()).ok().filter(|&voters| voters > 0)?;
        self.0.get(usize::try_from(ballot % voters).ok()?)
    }
}

impl ClusterId {
    /// The id of the cluster that these founders start with this schema. `salt` tells apart what the same founders begin
    /// more than once; zeros are left out.
    pub(crate) fn of(founders: &Voters, schema: &Fingerprint, salt: &[u8; 16]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("netabase cluster id v1");
        for peer in founders.iter() {
            let bytes = peer.to_bytes();
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(&bytes);
        }
        hasher.update(&schema.0);
        if *salt != [0; 16] {
            hasher.update(salt);
        }
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        ClusterId(id)
    }
}

impl Incarnation {
    pub(crate) fn random() -> Self {
        Incarnation(crate::entropy::bytes())
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}
