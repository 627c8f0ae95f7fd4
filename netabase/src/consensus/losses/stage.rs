//! One real node among voters that a test plays by hand.
//!
//! ```text
//! test ──Prepare, Propose, Commit──▶ node ──▶ its held disks       node ──Prepare, Propose──▶ Puppet::asked ──▶ test
//! ```
//! Must hold: nothing waits by sleeping; that something does *not* happen is looked at after a sync is known to be held and the
//! node has answered a good number of later messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;

use super::puppet::Puppet;
use crate::command::{Command, Entry, SessionId, Write};
use crate::consensus::fixture::batch;
use crate::consensus::id::{ClusterId, Epoch, Incarnation, Round, Voters};
use crate::consensus::leadership::Timing;
use crate::consensus::log::Mirror;
use crate::consensus::message::Greeting;
use crate::consensus::replica::Replica;
use crate::handle::Netabase;
use crate::network::Identity;
use crate::node::{Assembly, Beginning, Limits, Node, Tuning, Wire};
use crate::schema::{Catalog, RecordId};
use crate::storage::StoreKind;
use crate::testing::fixture::Item;
use crate::testing::{Cluster, Disks, Fabric, ForgetfulDisk, Unsynced};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// A node that follows whoever speaks, and never campaigns.
pub(super) fn patient() -> Tuning {
    let hour = Duration::from_secs(3_600);
    Tuning { timing: Timing { beat: Duration::from_millis(50), silence: hour, jitter: hour }, ..Tuning::default() }
}

/// A node that campaigns as soon as the others agree. An answer that is kept from it is waited for.
pub(super) fn eager() -> Tuning {
    let timing = Timing {
        beat: Duration::from_millis(20),
        silence: Duration::from_millis(100),
        jitter: Duration::from_millis(5),
    };
    Tuning {
        timing,
        vote_timeout: Duration::from_secs(15),
        request_timeout: Duration::from_secs(30),
        ..Tuning::default()
    }
}

/// The node, its disks and its place among the voters.
pub(super) struct Stage {
    pub(super) fabric: Fabric,
    pub(super) voters: Voters,
    pub(super) place: usize,
    pub(super) tuning: Tuning,
    identities: Vec<Identity>,
    disks: Disks,
    node: Option<Arc<Node>>,
    catalog: Catalog,
}

impl Stage {
    /// Starts the node at this place of so many voters; the puppets know it and are known to it.
    pub(super) async fn start(voters: usize, place: usize, tuning: Tuning) -> (Stage, Vec<Puppet>) {
        let mut identities: Vec<Identity> = (0..voters).map(|_| Identity::generate()).collect();
        let list = Voters::new(identities.iter().map(Identity::peer_id).collect());
        identities.sort_by_key(|identity| list.position(&identity.peer_id()));
        let mut stage = Stage {
            fabric: Fabric::new(0),
            voters: list,
            place,
            tuning,
            identities,
            disks: Disks::new(),
            node: None,
            catalog: Catalog::of::<Item>().unwrap(),
        };
        let puppets: Vec<Puppet> =
            (0..voters).filter(|&other| other != place).map(|other| Puppet::join(&stage, other)).collect();
        stage.restart(&puppets).await;
        (stage, puppets)
    }

    pub(super) fn me(&self) -> PeerId {
        self.identities[self.place].peer_id()
    }

    /// The voter at this place.
    pub(super) fn peer(&self, place: usize) -> PeerId {
        self.identities[place].peer_id()
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("the node runs")
    }

    pub(super) fn handle(&self) -> Netabase<Item> {
        Netabase::of(Arc::clone(self.node()))
    }

    pub(super) fn log_disk(&self) -> ForgetfulDisk {
        self.disks.log()
    }

    pub(super) fn store_disk(&self) -> ForgetfulDisk {
        self.disks.store()
    }

    pub(super) fn lose_log(&self) {
        self.disks.lose_log();
    }

    /// Looks at what is durable in the node's log.
    pub(super) fn durable<T>(&self, look: impl FnOnce(&Mirror) -> T) -> T {
        self.replica().log().durable(look)
    }

    pub(super) fn applied(&self) -> Round {
        self.replica().applied()
    }

    fn replica(&self) -> Arc<Replica> {
        self.node().replica().expect("the node runs")
    }

    pub(super) async fn crash(&mut self, unsynced: Unsynced) {
        self.fabric.cut(self.me());
        self.disks.power_cut(unsynced);
        self.node.take().expect("the node runs").kill().await;
    }

    pub(super) async fn restart(&mut self, puppets: &[Puppet]) {
        let (network, events) = self.fabric.join(self.me());
        let assembly = Assembly {
            catalog: self.catalog.clone(),
            identity: self.identities[self.place].clone(),
            beginning: Beginning::Founded(self.voters.iter().map(|peer| (*peer, Vec::new())).collect()),
            rebuild: false,
            volume: Arc::new(self.disks.mount()),
            wire: Wire::Joined(network, events),
            store: StoreKind::Redb,
            limits: Limits::default(),
            network_limits: crate::network::NetworkLimits::default(),
            tuning: self.tuning,
        };
        self.node = Some(Node::start(assembly).await.expect("the node starts"));
        for puppet in puppets {
            puppet.greet().await;
        }
    }

    /// A greeting as the voter at `place` says it.
    pub(super) fn greeting(&self, incarnation: Incarnation) -> Greeting {
        Greeting {
            cluster: ClusterId::of(&self.voters, &self.catalog.fingerprint(), &[0; 16]),
            epoch: Epoch(0),
            incarnation,
            founders: self.voters.iter().map(ToString::to_string).collect(),
            schema: self.catalog.summary(),
            counted: 0,
            remembered: None,
            applied: 0,
        }
    }

    pub(super) async fn until(&self, condition: impl Fn(&Node) -> bool) {
        until(|| condition(self.node())).await;
    }

    /// Waits until the node has a sync of its log under way, which does not end.
    pub(super) async fn until_log_held(&self) {
        let disk = self.log_disk();
        until(|| disk.syncs_held() > 0).await;
    }

    /// Has the node elected by puppets that have accepted nothing; they accept everything until it leads.
    pub(super) async fn elect(&self, puppets: &mut [Puppet]) {
        for puppet in &*puppets {
            puppet.script().agrees = true;
        }
        serve(puppets, || self.node().standing().leads).await;
    }
}

/// Agrees to whatever the node asks until the condition holds.
pub(super) async fn serve(puppets: &mut [Puppet], condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to that in time");
        for puppet in &mut *puppets {
            while let Ok(asked) = puppet.asked.try_recv() {
                asked.agree();
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Looks again and again until the condition holds.
pub(super) async fn until(condition: impl Fn() -> bool) {
    until_within(DEADLINE, condition).await;
}

pub(super) async fn until_within(time: Duration, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to that in time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Writes as often as it takes: whether anything works again is the question, not how fast.
pub(super) async fn put_at_last(cluster: &Cluster<Item>, place: usize, id: u64) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) = cluster.node(place).put_record(item(id)).await {
        assert!(Instant::now() < deadline, "it did not come to that in time: {error}");
    }
}

pub(super) fn item(id: u64) -> Item {
    Item { id, name: format!("name {id}") }
}

/// The session that [`opening`] opens when it is chosen for this round.
pub(super) fn session(round: Round) -> SessionId {
    SessionId { round, position: 0 }
}

pub(super) fn opening(n: u64) -> Entry {
    batch(n, &[Command::Open { nonce: [n.to_be_bytes()[7]; 16] }])
}

/// An entry that puts this item under a session's number.
pub(super) fn putting(n: u64, session: SessionId, number: u64, item: &Item) -> Entry {
    let value = Bytes::from(crate::Record::__encode(item).unwrap());
    let write = Write::Put { record: RecordId::of_member::<Item, Item>(), value };
    batch(n, &[Command::Execute { session, number, floor: number, action: write.into() }])
}
