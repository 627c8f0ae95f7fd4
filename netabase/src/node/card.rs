//! The node's card: the one small file that says whose directory this is (`node`).
//!
//! Must hold: it is written last when a directory is made, so a directory without it never voted; it is replaced
//! atomically and synced; what cannot be read is damage, never a new directory.

use serde::{Deserialize, Serialize};

use crate::consensus::{ClusterId, Epoch, Incarnation};
use crate::error::{Error, Result};
use crate::schema::codec;

const MAGIC: &[u8; 8] = b"netabase";
const HASH_BYTES: usize = 32;
/// Raised with every change of [`Card`].
const FORMAT: u32 = 1;

/// What a data directory says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    format: u32,
    pub(crate) cluster: ClusterId,
    pub(crate) incarnation: Incarnation,
    pub(crate) peer: String,
    pub(crate) founders: Vec<String>,
    pub(crate) renounced: Option<Renounced>,
}

/// Why this node must not vote (D9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Renounced {
    pub(crate) epoch: Epoch,
    pub(crate) reason: String,
}

impl Card {
    pub(crate) fn new(cluster: ClusterId, incarnation: Incarnation, peer: String, founders: Vec<String>) -> Self {
        Card { format: FORMAT, cluster, incarnation, peer, founders, renounced: None }
    }

    /// The same card of a node that must not vote any more.
    pub(crate) fn renouncing(mut self, epoch: Epoch, reason: &str) -> Self {
        self.renounced = Some(Renounced { epoch, reason: reason.to_owned() });
        self
    }

    /// Magic, checksum of the rest, the rest.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let body = codec::encode(self).map_err(|error| Error::storage("the node's card cannot be written", error))?;
        Ok([MAGIC.as_slice(), blake3::hash(&body).as_bytes(), &body].concat())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let body = bytes.strip_prefix(MAGIC).and_then(|rest| {
            let (hash, body) = rest.split_first_chunk::<HASH_BYTES>()?;
            (blake3::hash(body).as_bytes() == hash).then_some(body)
        });
        let Some(body) = body else {
            return Err(Error::DataDirectory {
                reason: "its file `node` is damaged, or not of Netabase: restore the directory from a backup, or use another one".into(),
            });
        };
        codec::decode(body).ok().filter(|card: &Card| card.format == FORMAT).ok_or_else(|| Error::DataDirectory {
            reason: "its file `node` has a format that this program does not read: open it with the version of Netabase that wrote it".into(),
        })
    }
}
