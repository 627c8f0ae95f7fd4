//! What a node tells about itself.

use std::fmt;

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

use crate::client::Shared;
use crate::consensus::{Replica, peer_of};
use crate::desk::Right;
use crate::error::Result;
use crate::network::Refused;
use crate::node::{Node, Recovery, Role};
use crate::schema::{Catalog, RecordId};

/// What a node knows of itself and its cluster, now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// This node.
    pub peer_id: PeerId,
    /// What it is to the cluster.
    pub role: Role,
    /// Who leads, as far as this node knows.
    pub leader: Option<PeerId>,
    /// Who takes part, the voters sorted as the cluster counts them.
    pub members: Vec<MemberStatus>,
    /// How many times the list of voters was replaced.
    pub epoch: u64,
    /// The addresses that this node listens on.
    pub listen_addresses: Vec<Multiaddr>,
    /// The last round applied here: reads see everything up to it.
    pub applied_round: u64,
    /// How many rounds this node is behind, as far as it knows. A few are under way at any time while others write.
    pub lag: u64,
    /// The last round that is in this node's synced store; later ones are in its log.
    pub durable_round: u64,
    /// What the node refused since it started, by reason; of a client nothing, it serves nobody.
    pub refused: Refused,
    /// How often the consensus engine was restarted from its log since the node started. More than a few is a fault.
    pub keeper_restarts: u64,
    /// That this node made its cluster of what it had of another one, with [`Start::recover_alone`](crate::Start::recover_alone),
    /// and what may be lost. Kept for as long as the directory; other members do not know of it.
    pub recovery: Option<Recovery>,
    /// The last round in which voters were seen to hold different records while no majority of them held the same, so that
    /// nobody knows who is right. A node that is known to be wrong ends: see [`Error::Quarantined`](crate::Error).
    pub differs: Option<u64>,
    /// The record types of this program, in the order of their names.
    pub records: Vec<RecordStatus>,
}

/// In which version a record type is written, and what keeps it from the newest one.
///
/// An upgrade goes so: each member is stopped and started with the new program, one after the other. As long as one of them
/// does not read the new version, the old one is written, and going back to the old program is possible. Once all do, the new
/// one is written, the old program is refused, and the rows of before are converted while everything goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordStatus {
    /// The stored name.
    pub name: String,
    /// The newest version that this program knows.
    pub newest: u8,
    /// The version that is written; `None`: some member does not know the record type, so nobody writes it yet.
    pub active: Option<u8>,
    /// The oldest version in which there may still be rows: the active one when all are converted. A client does not know.
    pub oldest: Option<u8>,
    /// The members that do not read the newest version. A client does not know.
    pub missing: Vec<PeerId>,
    /// How many rows cannot be converted, and why the first of them cannot: write those records anew, or remove them; they are
    /// tried again every half minute. A client does not know.
    pub stuck: Option<(u64, String)>,
}

/// What a node knows of a member of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberStatus {
    /// Which one.
    pub peer_id: PeerId,
    /// What it is to the cluster.
    pub role: Role,
    /// Whether this node can reach it.
    pub connected: bool,
    /// The last round that it has applied, as it last told. Only the leader is told, and everyone knows it of oneself.
    pub applied_round: Option<u64>,
}

pub(super) fn of(node: &Node) -> Result<Status> {
    if let Some(failure) = node.failure() {
        return Err(failure);
    }
    let replica = node.replica()?;
    let standing = node.standing();
    let applied_round = standing.applied.max(replica.applied());
    let member = |&peer_id: &PeerId| {
        let told = standing.peers.get(&peer_id).copied();
        let own = peer_id == node.peer_id;
        MemberStatus {
            peer_id,
            role: Role::Voter,
            connected: own || told.is_some(),
            applied_round: if own { Some(applied_round) } else { told.flatten().filter(|_| standing.leads) },
        }
    };
    Ok(Status {
        peer_id: node.peer_id,
        role: if standing.votes { Role::Voter } else { Role::Learner },
        leader: standing.leader,
        members: standing.voters.iter().map(member).collect(),
        epoch: standing.epoch.0,
        listen_addresses: node.network.listen_addresses(),
        applied_round,
        lag: standing.known.saturating_sub(applied_round),
        durable_round: standing.durable,
        refused: node.network.refusals().all(),
        keeper_restarts: standing.revived,
        recovery: node.recovery.clone(),
        differs: standing.differs,
        records: records(&node.catalog, &replica),
    })
}

/// What the member tells, of itself and of the cluster.
pub(super) async fn of_client(client: &Shared) -> Result<Status> {
    let welcome = client.greet().await?;
    let member = |peer_id: PeerId| MemberStatus {
        peer_id,
        role: Role::Voter,
        connected: client.is_connected(peer_id),
        applied_round: None,
    };
    Ok(Status {
        peer_id: client.peer_id,
        role: match welcome.right {
            Right::Write => Role::Client,
            Right::Read => Role::Reader,
        },
        leader: welcome.leader,
        members: welcome.voters.into_iter().map(member).collect(),
        epoch: welcome.epoch,
        listen_addresses: Vec::new(),
        applied_round: welcome.applied,
        lag: welcome.known.saturating_sub(welcome.applied),
        durable_round: welcome.durable,
        refused: Refused::default(),
        keeper_restarts: 0,
        recovery: None,
        differs: None,
        records: known(&client.catalog)
            .map(|(record, name, newest)| RecordStatus {
                name,
                newest,
                active: welcome.active.get(&record).copied(),
                oldest: None,
                missing: Vec::new(),
                stuck: None,
            })
            .collect(),
    })
}

fn known(catalog: &Catalog) -> impl Iterator<Item = (RecordId, String, u8)> {
    let mut known: Vec<_> =
        catalog.records().map(|(record, glue)| (record, glue.name.to_owned(), glue.version)).collect();
    known.sort_by(|one, other| one.1.cmp(&other.1));
    known.into_iter()
}

fn records(catalog: &Catalog, replica: &Replica) -> Vec<RecordStatus> {
    let (roster, versions) = (replica.roster(), replica.versions());
    let status = |(record, name, newest): (RecordId, String, u8)| {
        let stored = versions.get(record);
        RecordStatus {
            name,
            newest,
            active: stored.map(|stored| stored.active),
            oldest: stored.map(|stored| stored.floor),
            missing: roster.unable(record, newest).filter_map(peer_of).collect(),
            stuck: stored.and_then(|stored| stored.stuck()).map(|(rows, reason)| (rows, reason.to_owned())),
        }
    };
    known(catalog).map(status).collect()
}

/// A hash over everything that is agreed on, and the round up to which it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateHash {
    /// The last round that the hash covers.
    pub round: u64,
    /// blake3 over records, indexes and sessions, in order.
    pub hash: [u8; 32],
}

impl StateHash {
    pub(super) fn new(round: u64, hash: [u8; 32]) -> Self {
        StateHash { round, hash }
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.round)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
