//! Clusters in one process: nodes on a network with faults on demand and on disks that forget what was not synced.
//!
//! Must hold: a crash leaves of a node exactly what its disks had synced; nothing here waits by sleeping, only for a
//! condition, with a deadline; what runs in memory runs over sockets, too.

mod faults;
mod medium;
mod setup;

use std::sync::Arc;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use self::medium::Medium;
pub use self::setup::Setup;
#[cfg(test)]
use super::fabric::Fabric;
use super::volume::Disks;
use super::{ForgetfulDisk, Unsynced};
use crate::client::{self, Client, Target};
use crate::consensus::member_id;
use crate::error::{Error, Result};
use crate::handle::{Netabase, StateHash};
use crate::network::{Identity, NetworkLimits};
use crate::node::{Assembly, Beginning, Invite, Limits, Node, Role, Tuning, Volume, beginning_of, recover};
use crate::schema::{Catalog, Schema, all_agreed};
use crate::storage::StoreKind;

/// How long a cluster may take to do what it is asked.
const DEADLINE: Duration = Duration::from_secs(30);

/// A cluster of `n` voters in this process, with faults on demand.
///
/// ```
/// use netabase::prelude::*;
/// use netabase::testing::Cluster;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
/// # struct Account { #[netabase(key)] id: u64, balance: i64 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> netabase::Result<()> {
/// let mut cluster = Cluster::<Account>::start(3).await?;
/// cluster.node(0).put_record(Account { id: 1, balance: 10 }).await?;
/// cluster.crash(0).await;                    // what was not synced is lost
/// cluster.restart(0).await?;
/// cluster.converged().await?;
/// assert_eq!(cluster.node(0).get_record::<Account>(1).await?.map(|account| account.balance), Some(10));
/// # cluster.shutdown().await
/// # }
/// ```
#[derive(Debug)]
pub struct Cluster<S: Schema> {
    pub(super) catalog: Catalog,
    pub(super) medium: Medium,
    tuning: Tuning,
    store: StoreKind,
    pub(super) places: Vec<Place>,
    schema: std::marker::PhantomData<fn() -> S>,
}

/// A node's identity and disks, and the node while it runs.
#[derive(Debug)]
pub(super) struct Place {
    identity: Identity,
    /// The invite that it came with, if it is not a founder.
    pub(super) invite: Option<Invite>,
    /// Whether it is a cluster of its own now.
    alone: bool,
    disks: Disks,
    node: Option<Arc<Node>>,
}

impl Place {
    fn new(invite: Option<Invite>) -> Self {
        Place { identity: Identity::generate(), invite, alone: false, disks: Disks::new(), node: None }
    }
}

impl<S: Schema> Cluster<S> {
    /// Starts `voters` nodes when it is awaited, and waits until one of them leads. Options come before the `.await`.
    ///
    /// # Errors
    /// What a node's start gives; [`Error::Timeout`] when nobody leads in time.
    pub fn start(voters: usize) -> Setup<S> {
        const { all_agreed::<S>() };
        Setup::new(voters)
    }

    /// The handle of a running node.
    ///
    /// # Panics
    /// When the node is crashed or stopped: a test that asks for it is wrong.
    #[must_use]
    pub fn node(&self, place: usize) -> Netabase<S> {
        Netabase::of(Arc::clone(self.running(place)))
    }

    /// The handle of a new client, which may read and write: it holds no data, and asks one node or another. It is on the
    /// nodes' network; in a partition it hears nobody.
    ///
    /// # Errors
    /// [`Error::Network`] when no node answers in time.
    ///
    /// ```
    /// # use netabase::prelude::*;
    /// # use netabase::testing::Cluster;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64, balance: i64 }
    /// # #[tokio::main]
    /// # async fn main() -> netabase::Result<()> {
    /// let mut cluster = Cluster::<Account>::start(3).await?;
    /// let app = cluster.client().await?;
    /// app.put_record(Account { id: 1, balance: 10 }).await?;
    /// cluster.crash(0).await;                    // wherever it was, it goes on
    /// app.update_record::<Account>(1, |account| account.balance += 5).await?;
    /// assert_eq!(app.get_record::<Account>(1).await?.map(|account| account.balance), Some(15));
    /// # app.shutdown().await?;
    /// # cluster.shutdown().await
    /// # }
    /// ```
    pub async fn client(&self) -> Result<Netabase<S>> {
        self.connect(Role::Client).await
    }

    /// The handle of a new client that may only read.
    ///
    /// # Errors
    /// As [`Cluster::client`].
    pub async fn reader(&self) -> Result<Netabase<S>> {
        self.connect(Role::Reader).await
    }

    async fn connect(&self, role: Role) -> Result<Netabase<S>> {
        let identity = Identity::generate();
        self.admit(identity.peer_id(), role).await?;
        let wire = self.medium.wire(identity.peer_id(), false);
        let cluster = self.places.iter().find_map(|place| place.node.as_ref()).map(|node| node.cluster);
        let parts = client::Parts {
            catalog: self.catalog.clone(),
            identity,
            target: Target { cluster: cluster.ok_or(Error::ShutDown)?, members: self.known(self.places.iter()) },
            wire,
            tuning: self.tuning,
        };
        Ok(Netabase::of_client(Client::connect(parts).await?))
    }

    /// These nodes, with where they are found.
    fn known<'a>(&self, places: impl Iterator<Item = &'a Place>) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let known = |place: &Place| {
            let peer = place.identity.peer_id();
            (peer, self.medium.addresses(peer))
        };
        places.map(known).collect()
    }

    /// Has a peer let in, by any node that runs.
    pub(crate) async fn admit(&self, peer: PeerId, role: Role) -> Result<()> {
        let node = self.places.iter().find_map(|place| place.node.as_ref()).ok_or(Error::ShutDown)?;
        node.admit(peer, role).await
    }

    #[cfg(test)]
    pub(crate) fn running_standing(&self, place: usize) -> crate::consensus::Standing {
        self.running(place).standing()
    }

    pub(crate) fn running(&self, place: usize) -> &Arc<Node> {
        self.places[place].node.as_ref().expect("the node is running: restart it first")
    }

    /// How many nodes the cluster has, running or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether the cluster has no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the node runs.
    #[must_use]
    pub fn is_running(&self, place: usize) -> bool {
        self.places[place].node.is_some()
    }

    /// The id of a node.
    #[must_use]
    pub fn peer_id(&self, place: usize) -> PeerId {
        self.places[place].identity.peer_id()
    }

    /// The disk of a node's consensus log, for faults.
    #[must_use]
    pub fn log_disk(&self, place: usize) -> ForgetfulDisk {
        self.places[place].disks.log()
    }

    /// The disk of a node's records, for faults.
    #[must_use]
    pub fn store_disk(&self, place: usize) -> ForgetfulDisk {
        self.places[place].disks.store()
    }

    /// Crashes a node as a power cut does: whatever its disks had not synced is lost.
    pub async fn crash(&mut self, place: usize) {
        self.crash_leaving(place, Unsynced::Lost).await;
    }

    /// Crashes a node; `unsynced` says what its disks keep of what they had not synced.
    pub async fn crash_leaving(&mut self, place: usize, unsynced: Unsynced) {
        self.medium.cut(self.peer_id(place));
        self.places[place].disks.power_cut(unsynced);
        if let Some(node) = self.places[place].node.take() {
            node.kill().await;
        }
    }

    /// Cuts the power of every node at once.
    pub async fn crash_all(&mut self, unsynced: Unsynced) {
        for place in 0..self.len() {
            self.medium.cut(self.peer_id(place));
            self.places[place].disks.power_cut(unsynced);
        }
        for place in 0..self.len() {
            if let Some(node) = self.places[place].node.take() {
                node.kill().await;
            }
        }
    }

    /// Stops a node in order, as [`Netabase::shutdown`] does: a leader hands its leadership over first.
    ///
    /// # Errors
    /// What the node's shutdown gives.
    pub async fn stop(&mut self, place: usize) -> Result<()> {
        let Some(node) = self.places[place].node.take() else { return Ok(()) };
        let stopped = node.shut_down().await;
        self.medium.cut(self.peer_id(place));
        stopped
    }

    /// Loses a node's consensus log, as when its file was deleted; the node must not be running.
    pub fn lose_log(&mut self, place: usize) {
        self.places[place].disks.lose_log();
    }

    /// Replaces all disks of a node, as when its directory was deleted; the node must not be running.
    pub fn lose_directory(&mut self, place: usize) {
        self.places[place].disks = Disks::new();
    }

    #[cfg(test)]
    pub(crate) fn disks(&self, place: usize) -> &Disks {
        &self.places[place].disks
    }

    /// The state of a running node.
    #[cfg(test)]
    pub(crate) fn replica(&self, place: usize) -> Arc<crate::consensus::Replica> {
        self.running(place).replica().expect("the node is running")
    }

    #[cfg(test)]
    pub(crate) fn fabric(&self) -> &Fabric {
        self.medium.fabric()
    }

    /// Starts a node again from its disks; nothing happens when it runs.
    ///
    /// # Errors
    /// What a node's start gives.
    pub async fn restart(&mut self, place: usize) -> Result<()> {
        self.restart_as(place, false).await
    }

    /// Starts a node again from its disks and has it fetch all records anew, as [`Start::rebuild`](crate::Start::rebuild) does.
    ///
    /// # Errors
    /// What the node's start gives.
    pub async fn rebuild(&mut self, place: usize) -> Result<()> {
        self.restart_as(place, true).await?;
        self.running(place).rebuilt().await
    }

    async fn restart_as(&mut self, place: usize, rebuild: bool) -> Result<()> {
        if self.places[place].node.is_some() {
            return Ok(());
        }
        let volume = self.places[place].disks.mount();
        let beginning = match &self.places[place].invite {
            _ if self.places[place].alone => Beginning::Alone,
            Some(invite) => {
                let door = self.medium.door(invite.knocker()?.peer_id());
                beginning_of(door, invite, self.peer_id(place), &self.catalog, &volume).await?
            }
            None => {
                let founders = self.places.iter().filter(|place| place.invite.is_none());
                Beginning::Founded(self.known(founders))
            }
        };
        let assembly = Assembly {
            catalog: self.catalog.clone(),
            identity: self.places[place].identity.clone(),
            beginning,
            rebuild,
            volume: Arc::new(volume),
            wire: self.medium.wire(self.peer_id(place), true),
            store: self.store,
            limits: Limits::default(),
            network_limits: NetworkLimits::default(),
            tuning: self.tuning,
        };
        self.places[place].node = Some(Node::start(assembly).await?);
        Ok(())
    }

    /// Has one more node join on an invite of the node at `inviter`, and waits until it is what it was invited to be.
    /// Returns its place.
    ///
    /// # Errors
    /// What the invite and the node's start give.
    pub async fn join(&mut self, inviter: usize, role: Role) -> Result<usize> {
        let place = self.join_later(inviter, role).await?;
        self.restart(place).await?;
        self.running(place).arrived(role).await?;
        Ok(place)
    }

    /// Has one more node invited, which joins when it is restarted. Returns its place.
    ///
    /// # Errors
    /// What the invite gives.
    pub async fn join_later(&mut self, inviter: usize, role: Role) -> Result<usize> {
        let invite = self.running(inviter).invite(role).await?;
        self.places.push(Place::new(Some(invite)));
        Ok(self.places.len() - 1)
    }

    /// Starts a node again from its disks as a new cluster of one, as [`Start::recover_alone`](crate::Start::recover_alone)
    /// does; the node must not be running. The others here still belong to the old cluster.
    ///
    /// # Errors
    /// What the recovery and the node's start give.
    pub async fn recover_alone(&mut self, place: usize) -> Result<()> {
        let volume: Arc<dyn Volume> = Arc::new(self.places[place].disks.mount());
        recover(&volume, self.peer_id(place), self.catalog.clone(), self.store).await?;
        self.places[place].alone = true;
        self.restart(place).await
    }

    /// The place of the node that leads, as a majority of the voters sees it. Waits until there is one.
    ///
    /// # Errors
    /// [`Error::Timeout`] when nobody leads in time.
    pub async fn leader(&self) -> Result<usize> {
        until(|| async { Ok(self.leader_now()) }).await
    }

    fn leader_now(&self) -> Option<usize> {
        let leads = |place: &usize| {
            let Some(node) = &self.places[*place].node else { return false };
            let Ok(roster) = node.replica().map(|replica| replica.roster()) else { return false };
            let follows = |other: &&Place| {
                let votes = roster.is_voter(&member_id(&other.identity.peer_id()));
                let leader = other.node.as_ref().and_then(|node| node.standing().leader);
                votes && leader == Some(node.peer_id)
            };
            node.standing().leads && self.places.iter().filter(follows).count() > roster.voters.len() / 2
        };
        (0..self.len()).find(leads)
    }

    /// Waits until every running node has applied the same rounds, and checks that they hold the same state.
    ///
    /// # Errors
    /// [`Error::Timeout`] when they do not get to the same round in time.
    ///
    /// # Panics
    /// When two nodes at the same round differ: that is the fault a test looks for.
    pub async fn converged(&self) -> Result<StateHash> {
        until(|| async {
            let mut hashes: Vec<(usize, StateHash)> = Vec::new();
            for place in (0..self.len()).filter(|&place| self.is_running(place)) {
                hashes.push((place, self.node(place).state_hash().await?));
            }
            for (place, hash) in &hashes {
                for (other, others) in &hashes {
                    assert!(
                        hash.round != others.round || hash.hash == others.hash,
                        "nodes {place} and {other} differ at round {}: {hash} and {others}",
                        hash.round
                    );
                }
            }
            let same = hashes.windows(2).all(|pair| pair[0].1.round == pair[1].1.round);
            Ok(hashes.first().filter(|_| same).map(|(_, hash)| *hash))
        })
        .await
    }

    /// Stops every running node, one after the other.
    ///
    /// # Errors
    /// What the first shutdown that fails gives; the others are stopped all the same.
    pub async fn shutdown(mut self) -> Result<()> {
        let mut stopped = Ok(());
        for place in &mut self.places {
            if let Some(node) = place.node.take() {
                stopped = stopped.and(node.shut_down().await);
            }
        }
        stopped
    }
}

/// Looks again and again until there is an answer, or the deadline is over.
async fn until<T, F: Future<Output = Result<Option<T>>>>(mut look: impl FnMut() -> F) -> Result<T> {
    const EVERY: Duration = Duration::from_millis(10);
    let waiting = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or(Err(Error::Timeout))
}

#[cfg(test)]
mod tests;
