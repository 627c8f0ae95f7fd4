//! The node's card: the one small file that says whose directory this is (`node`).
//!
//! Must hold: it is written last when a directory is made, so a directory without it never voted; it is replaced
//! atomically and synced; what cannot be read is damage, never a new directory.

use serde::{Deserialize, Serialize};

use super::alone::Recovery;
use crate::command::Life;
use crate::consensus::{Charter, ClusterId, Incarnation};
use crate::error::{Error, Result};
use crate::schema::codec;

const MAGIC: &[u8; 8] = b"netabase";
const HASH_BYTES: usize = 32;
/// Raised with every change of [`Card`].
const FORMAT: u32 = 5;

/// What a data directory says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    format: u32,
    pub(crate) charter: Charter,
    pub(crate) cluster: ClusterId,
    pub(crate) incarnation: Incarnation,
    pub(crate) peer: String,
    /// Where the others were when the directory was made: until the log says it.
    pub(crate) peers: Vec<(String, Vec<String>)>,
    /// How often this node lost its memory of what it voted for, and why the last time (D9).
    pub(crate) lapses: u32,
    pub(crate) lapse: Option<String>,
    /// Whether this node left the cluster.
    pub(crate) departed: bool,
    /// What was left behind when this cluster was made of another's directory.
    pub(crate) recovery: Option<Recovery>,
    /// The round at which a majority of the voters held other records than this node, which is not to start with its own.
    pub(crate) quarantine: Option<u64>,
}

impl Card {
    pub(crate) fn new(charter: Charter, cluster: ClusterId, peer: String, peers: Vec<(String, Vec<String>)>) -> Self {
        let incarnation = Incarnation::random();
        let (lapses, lapse, departed, recovery, quarantine) = (0, None, false, None, None);
        Card {
            format: FORMAT,
            charter,
            cluster,
            incarnation,
            peer,
            peers,
            lapses,
            lapse,
            departed,
            recovery,
            quarantine,
        }
    }

    /// In which life the node is that has this card.
    pub(crate) fn life(&self) -> Life {
        Life { incarnation: self.incarnation.0, lapses: self.lapses }
    }

    /// The same card of a node that has lost its memory once more.
    pub(crate) fn lapsed(mut self, lapses: u32, reason: &str) -> Self {
        self.lapses = lapses;
        self.lapse = Some(reason.to_owned());
        self
    }

    /// The same card of a node that left the cluster.
    pub(crate) fn departed(mut self) -> Self {
        self.departed = true;
        self
    }

    /// The same card of a node whose records are not those of the others, or, without a round, are again.
    pub(crate) fn quarantined(mut self, round: Option<u64>) -> Self {
        self.quarantine = round;
        self
    }

    /// The same card of a cluster that was made of what is left of another.
    pub(crate) fn recovered(mut self, recovery: Recovery) -> Self {
        self.recovery = Some(recovery);
        self
    }

    /// The same card of a node that was let in again.
    pub(crate) fn readmitted(mut self, peers: Vec<(String, Vec<String>)>) -> Self {
        self.peers = peers;
        self.departed = false;
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
