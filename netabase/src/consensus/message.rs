//! What voters say to each other. Every message names the cluster, the epoch and the life of the sender's directory.
//!
//! All of it is codec bytes inside the network's frames; bounds on what may be in them are the guard's.

use bytes::Bytes;
use libp2p::PeerId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::charter::Admission;
use super::checkpoint::{Checkpoint, Word};
use super::id::{Ballot, ClusterId, Epoch, Incarnation, Round};
use super::log;
use crate::command::{Entry, EntryId};
use crate::machine::SnapshotId;
use crate::schema::Summary;
use crate::schema::codec::{self, CodecError};

/// A message with what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope<T> {
    pub(crate) cluster: ClusterId,
    pub(crate) epoch: Epoch,
    pub(crate) incarnation: Incarnation,
    pub(crate) body: T,
}

impl<T: Serialize> Envelope<T> {
    pub(crate) fn encode(&self) -> Result<Bytes, CodecError> {
        codec::encode(self).map(Bytes::from)
    }
}

impl<T: DeserializeOwned> Envelope<T> {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes)
    }
}

/// Channel `Paxos`, to an acceptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PaxosRequest {
    /// Phase 1a.
    Prepare { round: Round, ballot: Ballot },
    /// Phase 2a.
    Propose { round: Round, ballot: Ballot, entry: Entry },
    /// The entry is chosen.
    Commit { round: Round, ballot: Ballot, entry: Entry },
    /// The entry, which the receiver accepted, is chosen.
    CommitById { round: Round, ballot: Ballot, id: EntryId },
}

/// Channel `Paxos`, from an acceptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PaxosAnswer {
    /// Phase 1b: what was accepted at or above the round of the prepare.
    Promise(Vec<AcceptedRow>),
    /// Phase 2b.
    Accepted,
    /// A greater ballot was promised.
    Supplanted { ballot: Ballot },
    /// The round is already decided; with its entry where it is still kept.
    Converged { ballot: Ballot, entry: Option<Entry> },
    /// The commit was taken.
    Committed,
    /// The receiver never accepted that entry: it will fetch the round.
    Unknown,
}

/// One accepted entry in a promise, or one chosen entry in a catch-up answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AcceptedRow {
    pub(crate) round: Round,
    pub(crate) ballot: Ballot,
    pub(crate) entry: Entry,
}

impl From<AcceptedRow> for log::Accepted {
    fn from(row: AcceptedRow) -> Self {
        log::Accepted { round: row.round, ballot: row.ballot, entry: row.entry }
    }
}

impl From<log::Accepted> for AcceptedRow {
    fn from(row: log::Accepted) -> Self {
        AcceptedRow { round: row.round, ballot: row.ballot, entry: row.entry }
    }
}

/// Channel `Heartbeat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PulseRequest {
    /// "I lead under this ballot; rounds up to `decided` are decided, and every voter's store is durable through
    /// `held`; and this is what the voters say of their rows."
    Beat { ballot: Ballot, decided: Round, held: Round, word: Option<Word> },
    /// "I have not heard from the leader of `ballot`: have you?"
    Suspect,
    /// "I lead under this ballot: under which did you last speak?"
    Confirm { ballot: Ballot },
    /// "I lead under this ballot and am about to stop; rounds up to `decided` are decided: campaign, without missing me
    /// first."
    Succeed { ballot: Ballot, decided: Round },
}

/// Answers on channel `Heartbeat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PulseAnswer {
    /// To a beat: how far this node is, the greatest ballot it promised (greater than the beat's: not followed), what its
    /// rows came to, and what its clock says in milliseconds since 1970.
    Beat { promised: Ballot, applied: Round, durable: Round, checkpoints: Vec<Checkpoint>, clock_ms: u64 },
    /// To a suspicion: whether this node has not heard from a leader either.
    Suspect { agrees: bool, decided: Round },
    /// To a confirm: the greatest ballot that this voter promised, accepted or campaigned with.
    Confirm { promised: Ballot },
    /// To a leader that stops: whether this node campaigns.
    Succeed { agrees: bool },
}

/// Channel `Heartbeat`, once a connection: who we are. Sent outside of [`Envelope`], since it is what settles whether two
/// nodes belong together. It names neither of them, and is not signed: the connection's handshake has proved who both are, so
/// whoever repeats another's greeting has said it of itself, as it could have made it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    pub(crate) cluster: ClusterId,
    pub(crate) epoch: Epoch,
    pub(crate) incarnation: Incarnation,
    /// The founders, as text, so that a difference can be shown.
    pub(crate) founders: Vec<String>,
    /// What the sender knows of its record types.
    pub(crate) schema: Summary,
    /// The greatest ballot of a vote of the receiver that the sender counted (D14).
    pub(crate) counted: Ballot,
    /// The life of the receiver's directory in which the sender first met it (D14).
    pub(crate) remembered: Option<Incarnation>,
    pub(crate) applied: Round,
}

/// What goes over channel `Heartbeat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pulse<T> {
    Greeting(Box<Greeting>),
    Within(Envelope<T>),
    /// Of whoever holds an invite's secret, which its handshake proved.
    Knock(Box<Knock>),
    Answered(Box<KnockAnswer>),
}

/// "Let me in": all that the holder of an invite may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Knock {
    pub(crate) cluster: ClusterId,
    /// Who is to be let in: the peer id of its own key.
    pub(crate) member: Vec<u8>,
    pub(crate) schema: Summary,
}

/// What it hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KnockAnswer {
    Admitted(Admission),
    /// The invite is of no use; why, for its holder.
    Invalid(String),
    SchemaMismatch {
        ours: String,
        theirs: String,
    },
    /// Not now: there is no quorum, or too much to do.
    Later,
}

/// Channel `Forward`, to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ForwardRequest {
    /// Commands to propose, each already encoded.
    Commands(Vec<Bytes>),
    /// "Up to which round must I have applied what a read may not miss?"
    Read,
    /// "Could the cluster go on without this member?"
    Weigh { leaving: Vec<u8> },
}

/// Answers on channel `Forward`: whether the commands will be proposed. Their outcomes come with the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ForwardAnswer {
    Taken,
    /// To a read: its index.
    Index(Round),
    NotLeader {
        leader: Option<Vec<u8>>,
    },
    NoQuorum,
    Overloaded,
    /// To a member that is to leave: why it cannot.
    Refused {
        reason: String,
    },
}

impl ForwardAnswer {
    pub(crate) fn not_leader(leader: Option<PeerId>) -> Self {
        ForwardAnswer::NotLeader { leader: leader.map(|peer| peer.to_bytes()) }
    }
}

/// Channel `Sync`: catching up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SyncRequest {
    /// Chosen rows from a round on.
    Rows { from: Round, bytes_max: u64 },
    /// "Which snapshot of a later round than this can I have?" Asked again, it says that the asker still needs it.
    Snapshot { above: Round },
    /// A piece of it, of `CHUNK_BYTES` but for the last one.
    Chunk { id: SnapshotId, offset: u64 },
    /// It is installed, and the rows behind it are here: the asker needs it no longer.
    Release { id: SnapshotId },
}

/// Answers on channel `Sync`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SyncAnswer {
    /// Chosen rows from the asked round on, without a gap, and how far the answering node's chosen rows reach.
    Rows { rows: Vec<AcceptedRow>, through: Round },
    /// The asked round is decided, and its row is no longer kept: only a snapshot helps.
    Compacted { through: Round },
    /// The snapshot to be had.
    Snapshot(SnapshotId),
    /// It is being made, or another one is in use: ask again.
    Preparing,
    /// The piece, and its blake3 as of when it was written.
    Chunk { bytes: Bytes, hash: [u8; 32] },
    /// There is none; or no longer the one asked for.
    NoSnapshot,
}
