//! What the node asks of its member, and what the member tells about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use libp2p::PeerId;
use tokio::sync::oneshot;

use crate::consensus::id::{Epoch, Round, Voters};
use crate::error::Result;

/// What the node may ask of its member.
#[derive(Debug)]
pub(crate) enum Control {
    /// Make everything durable and stop; the sender is dropped when that is done.
    ShutDown(#[expect(dead_code, reason = "only its end matters")] oneshot::Sender<()>),
    /// Whether the cluster could go on without this member; the reason if not.
    Weigh { leaving: PeerId, answer: oneshot::Sender<Result<()>> },
}

/// What a member tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether this node leads, follows, or only follows without a vote.
    pub(crate) leads: bool,
    pub(crate) votes: bool,
    pub(crate) leader: Option<PeerId>,
    pub(crate) applied: Round,
    pub(crate) durable: Round,
    /// The greatest round that is said to be decided: behind by the difference to `applied`.
    pub(crate) known: Round,
    pub(crate) epoch: Epoch,
    pub(crate) voters: Voters,
    /// Who is connected, and how far each is, as it last told this leader.
    pub(crate) peers: Arc<BTreeMap<PeerId, Option<Round>>>,
    /// Whether this node rests, since its disk is full.
    pub(crate) full: bool,
    /// Whether it gets what it misses as a snapshot: until that is here, it applies nothing.
    pub(crate) fetches_snapshot: bool,
    /// Of which round voters hold different records, while nobody knows who is right.
    pub(crate) differs: Option<Round>,
    /// Whether this node fetches all records anew: until they are here it serves nobody.
    pub(crate) rebuilding: bool,
    /// How often the keeper was woken again.
    pub(crate) revived: u64,
    /// Whether a majority of the epoch's voters has entered it: only then may those that left with the last one stop.
    pub(crate) settled: bool,
}
