//! Every message between a client and a member, over channel `Client`. Changing one changes the protocol's version.
//!
//! A request is one [`Request`]; its answer is `Result<T, Trouble>` with the `T` that its variant names, both as the codec
//! writes them. Each is below the channel's limit: rows and changes come in pages.

use std::collections::BTreeMap;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

use super::Right;
use crate::command::{Outcome, Refusal, SessionId};
use crate::consensus::{ClusterId, Fate, Outlook, Round};
use crate::error::Error;
use crate::event::Start;
use crate::machine::{Answer, Reply};
use crate::schema::{After, Plan, RecordId, Summary};
use crate::storage::Place;

/// What a client asks. `seen` is the greatest round that it has seen: no answer is older.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Whether the two belong together, and how the member is: [`Welcome`].
    Hello(Hello),
    /// As of the moment of a lease, or of now.
    Read { seen: Round, view: Option<Held>, read: Read },
    /// From which round on a read misses nothing that was acknowledged before: [`Confirmed`].
    Confirm,
    /// Commands to have agreed on: [`Submitted`].
    Submit { commands: Vec<Bytes> },
    /// The next changes, or records, of what a plan selects, after so many milliseconds at most: [`Watched`].
    Watch { seen: Round, plan: Plan, start: Start, wait_ms: u32 },
    /// Lays writes into the transaction of a lease, of which `first` is the number of the first one, then takes a step.
    /// They are a [`Transaction`](crate::command::Transaction)'s bytes.
    Transact { seen: Round, lease: Held, first: u32, writes: Bytes, step: Step },
    /// These leases are not needed any more: `()`.
    Release { leases: Vec<u64> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) cluster: ClusterId,
    /// The records that the client knows, each with a short hash of all that is known of it.
    pub(crate) schema: Summary,
}

/// A lease, by the number that the client gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) id: u64,
    /// To be made, unless a copy of this request has made it.
    pub(crate) new: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Read {
    /// The stored values under these keys, of the first ones at least: [`Values`].
    Get { record: RecordId, keys: Vec<Bytes> },
    /// The first stored values that a plan selects: [`Page`].
    Page { plan: Plan },
    /// How many it selects: [`Count`].
    Count { plan: Plan },
    /// The hash of the replicated state: [`Hash`].
    Hash,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// `Stepped<Option<Bytes>>`
    Get { record: RecordId, key: Bytes },
    /// `Stepped<Page>`
    Page { plan: Plan },
    /// Ends the transaction, with all that it read: `Stepped<Bytes>`, a transaction's bytes.
    Conclude,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) right: Right,
    pub(crate) record_bytes_max: u64,
    /// The members with their addresses, as far as the member knows them.
    pub(crate) members: Vec<(PeerId, Vec<Multiaddr>)>,
    pub(crate) epoch: u64,
    pub(crate) voters: Vec<PeerId>,
    pub(crate) leader: Option<PeerId>,
    pub(crate) applied: Round,
    pub(crate) durable: Round,
    /// The greatest round that the member has heard of.
    pub(crate) known: Round,
    /// In which version each record type is written.
    pub(crate) active: BTreeMap<RecordId, u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Values {
    pub(crate) applied: Round,
    pub(crate) values: Vec<Option<Bytes>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) applied: Round,
    pub(crate) values: Vec<Bytes>,
    /// Behind which place the next page goes on, if there is one.
    pub(crate) next: Option<After>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) applied: Round,
    pub(crate) count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hash {
    pub(crate) applied: Round,
    pub(crate) hash: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    pub(crate) applied: Round,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Submitted {
    pub(crate) applied: Round,
    /// In the order of the commands.
    pub(crate) settled: Vec<Settled>,
}

/// What became of a command, as far as the member knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Settled {
    Opened(SessionId),
    Done(Outcome),
    SessionGone,
    Stale,
    TooFarAhead,
    /// The member handed it to nobody.
    NotTaken,
    /// The same, since there is no quorum.
    NoQuorum,
    /// It may be applied yet.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) applied: Round,
    pub(crate) events: Vec<Told>,
    /// With what the next request begins.
    pub(crate) next: Start,
    /// So many rounds' changes were missed before these.
    pub(crate) lagged: Option<u64>,
}

/// A change of a record of the plan's type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) place: Place,
    pub(crate) round: Round,
    pub(crate) key: Bytes,
    pub(crate) before: Option<(Round, Bytes)>,
    pub(crate) after: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stepped<T> {
    /// What refused each of the writes that came with the step.
    pub(crate) refusals: Vec<Option<Refusal>>,
    /// One of its writes so far was refused by a record that no read shows, and that is removed soon.
    pub(crate) unswept: bool,
    pub(crate) result: T,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// The member has not applied what the client has seen: another one may have.
    Behind,
    /// The member stops, or cannot serve: another one may.
    Elsewhere {
        reason: String,
    },
    /// There is no such lease any more.
    NoLease,
    NoQuorum,
    /// The client was sent away.
    Removed,
    Compacted {
        oldest: u64,
    },
    Overloaded {
        limit: u64,
    },
    NotAuthorized {
        reason: String,
    },
    /// The member belongs to this cluster.
    OtherCluster {
        cluster: ClusterId,
    },
    /// The first difference, there and at the client.
    SchemaMismatch {
        member: String,
        client: String,
    },
    Codec {
        record: String,
        reason: String,
    },
    /// A query goes on behind a record that is not in its index.
    After {
        reason: String,
    },
    TransactionTooLarge {
        reason: String,
    },
    /// The request makes no sense to the member.
    Malformed {
        reason: String,
    },
    /// Not every record is in this index, at any member.
    IndexNotReady {
        record: String,
        index: String,
    },
}

impl Trouble {
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Trouble::Malformed { reason: reason.into() }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::NoQuorum | Error::Timeout | Error::ConnectionLost => Trouble::NoQuorum,
            Error::Compacted { oldest } => Trouble::Compacted { oldest },
            Error::Overloaded { limit } => Trouble::Overloaded { limit: limit as u64 },
            Error::Codec { record, reason } => Trouble::Codec { record, reason },
            Error::Configuration { reason, .. } => Trouble::After { reason },
            Error::TransactionTooLarge { reason } => Trouble::TransactionTooLarge { reason },
            Error::IndexNotReady { record, index } => Trouble::IndexNotReady { record, index },
            other => Trouble::Elsewhere { reason: other.to_string() },
        }
    }
}

impl From<Fate> for Settled {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::NoQuorum => Settled::NoQuorum,
            Fate::Applied(Answer::Opened { session, .. }) => Settled::Opened(session),
            Fate::Applied(Answer::Write { reply, .. }) => match reply {
                Reply::Done(outcome) => Settled::Done(outcome),
                Reply::SessionGone => Settled::SessionGone,
                Reply::Stale => Settled::Stale,
                Reply::TooFarAhead => Settled::TooFarAhead,
            },
        }
    }
}

impl From<Outlook> for Settled {
    fn from(outlook: Outlook) -> Self {
        match outlook {
            Outlook::NotTaken => Settled::NotTaken,
            Outlook::Unknown => Settled::Unknown,
        }
    }
}
