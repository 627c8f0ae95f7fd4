//! Who may talk to us, and over which connections they do now: shared by handle, behaviour and driver.
//!
//! The handle queues a request straight into the connection that will write it, past the swarm's task:
//! a hand-off less a message. A connection is listed from its establishment to its end.

use std::{
    array,
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    allowance::{Access, Allowance},
    gate::{Gate, Pass},
    handle::{RequestError, RequestResult, Transport},
    inbound::{Door, NetworkEvent},
    limits::{NetworkLimits, OUTBOUND_QUEUE_BYTES_MAX, OUTBOUND_QUEUE_MAX},
    protocol::Channel,
    refused::{Reason, Refusals},
    strangers::Strangers,
};

/// One value a channel.
pub(super) type PerChannel<T> = [T; Channel::COUNT];

/// A request on its way to the substream that will carry it.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) payload: Bytes,
    pub(super) deadline: Instant,
    pub(super) requester: oneshot::Sender<RequestResult>,
    /// Its place in the queue, left when it is written.
    _queued: Pass,
}

/// The receiving ends of one connection's queues; its handler has them.
pub(super) type Queues = PerChannel<mpsc::Receiver<Outgoing>>;

/// The sending ends.
#[derive(Debug)]
pub(super) struct Line {
    queues: PerChannel<(mpsc::Sender<Outgoing>, Arc<Gate>)>,
}

impl Line {
    pub(super) fn open() -> (Line, Queues) {
        let mut receivers = array::from_fn(|_| None);
        let queues = array::from_fn(|channel| {
            let (sender, receiver) = mpsc::channel(OUTBOUND_QUEUE_MAX);
            receivers[channel] = Some(receiver);
            (sender, Gate::new(OUTBOUND_QUEUE_MAX, OUTBOUND_QUEUE_BYTES_MAX))
        });
        let receivers = receivers.map(|receiver| receiver.expect("every channel was given a queue above"));
        (Line { queues }, receivers)
    }

    fn is_open(&self) -> bool {
        !self.queues[0].0.is_closed()
    }
}

/// What is known of an allowed peer.
#[derive(Debug)]
struct Peer {
    /// Oldest first. The newest carries our requests: that a peer connects anew says that it is there,
    /// while an older connection may have died without a word.
    lines: Vec<(ConnectionId, Line)>,
    allowance: Arc<Allowance>,
}

impl Peer {
    fn new(limits: &NetworkLimits, access: Access) -> Self {
        Peer { lines: Vec::new(), allowance: Allowance::new(limits, access, Instant::now()) }
    }
}

/// Who is let in, with where to find those that are to be connected to.
pub(crate) type Members = Vec<(PeerId, Vec<Multiaddr>)>;
/// Those among them that are no nodes.
pub(crate) type Guests = HashMap<PeerId, Access>;

#[derive(Debug)]
pub(super) struct Directory {
    limits: NetworkLimits,
    /// Allowed peers, and no others: a stranger leaves no entry.
    peers: RwLock<HashMap<PeerId, Peer>>,
    /// The members as they were set last, for the driver, which sees only the newest list.
    members: watch::Sender<Members>,
    listen_addresses: RwLock<Vec<Multiaddr>>,
    refusals: Refusals,
    pub(super) strangers: Strangers,
    door: Arc<Door>,
}

impl Directory {
    pub(super) fn new(limits: NetworkLimits, allowed: impl IntoIterator<Item = PeerId>) -> Arc<Self> {
        let peers = allowed.into_iter().map(|id| (id, Peer::new(&limits, Access::Node))).collect();
        Arc::new(Directory {
            limits,
            peers: RwLock::new(peers),
            members: watch::Sender::new(Vec::new()),
            listen_addresses: RwLock::default(),
            refusals: Refusals::default(),
            strangers: Strangers::new(limits.strangers_per_second_max, Instant::now()),
            door: Arc::default(),
        })
    }

    /// Follows the lists of members that come after this call.
    pub(super) fn follow_members(&self) -> watch::Receiver<Members> {
        self.members.subscribe()
    }

    pub(super) fn limits(&self) -> &NetworkLimits {
        &self.limits
    }

    pub(super) fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// What the peer may do; `None` for a stranger.
    pub(super) fn allowance(&self, peer: PeerId) -> Option<Arc<Allowance>> {
        self.peers().get(&peer).map(|peer| Arc::clone(&peer.allowance))
    }

    /// How many of these are of peers that are no nodes.
    pub(super) fn count_guests<'a>(&self, peers: impl Iterator<Item = &'a PeerId>) -> usize {
        let known = self.peers();
        peers.filter(|peer| known.get(peer).is_none_or(|peer| !peer.allowance.is_node())).count()
    }

    pub(super) fn add_line(&self, peer: PeerId, connection: ConnectionId, line: Line) {
        if let Some(peer) = self.peers_mut().get_mut(&peer) {
            peer.lines.push((connection, line));
        }
    }

    pub(super) fn remove_line(&self, peer: PeerId, connection: ConnectionId) {
        if let Some(peer) = self.peers_mut().get_mut(&peer) {
            peer.lines.retain(|(id, _)| *id != connection);
        }
    }

    pub(super) fn set_listen_addresses(&self, addresses: Vec<Multiaddr>) {
        *self.listen_addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn peers(&self) -> RwLockReadGuard<'_, HashMap<PeerId, Peer>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn peers_mut(&self) -> RwLockWriteGuard<'_, HashMap<PeerId, Peer>> {
        self.peers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Directory {
    fn send(
        &self,
        to: PeerId,
        channel: Channel,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<RequestResult>, RequestError> {
        let (bytes, bytes_max) = (payload.len(), self.limits.payload_bytes_max(channel));
        if bytes > bytes_max {
            return Err(RequestError::TooLarge { bytes, bytes_max });
        }
        let peers = self.peers();
        let lines = peers.get(&to).map_or(&[][..], |peer| &peer.lines);
        let (_, line) = lines.iter().rev().find(|(_, line)| line.is_open()).ok_or(RequestError::NotConnected)?;
        let (queue, gate) = &line.queues[channel.index()];
        let queued = gate.try_enter(bytes).ok_or(RequestError::QueueFull)?;
        let (requester, response) = oneshot::channel();
        queue.try_send(Outgoing { payload, deadline, requester, _queued: queued }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => RequestError::NotConnected,
        })?;
        Ok(response)
    }

    fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.listen_addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_connected(&self, peer: PeerId) -> bool {
        self.peers().get(&peer).is_some_and(|peer| peer.lines.iter().any(|(_, line)| line.is_open()))
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn blame(&self, peer: &PeerId, reason: Reason) {
        self.refusals.count(reason);
        if let Some(allowance) = self.allowance(*peer) {
            allowance.note_offence(Instant::now());
        }
    }

    /// The lines of who is no member any more go at once, with everything that waits on them.
    fn set_members(&self, members: Members, guests: &Guests) {
        let mut peers = self.peers_mut();
        let mut known = std::mem::take(&mut *peers);
        let peer = |(id, _): &(PeerId, Vec<Multiaddr>)| {
            let access = guests.get(id).copied().unwrap_or_default();
            let peer = known.remove(id).unwrap_or_else(|| Peer::new(&self.limits, access));
            peer.allowance.set_access(access);
            (*id, peer)
        };
        *peers = members.iter().map(peer).collect();
        drop(peers);
        self.members.send_replace(members);
    }

    fn open_door(&self, desk: mpsc::Sender<NetworkEvent>) {
        self.door.open(desk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection whose closing hangs still has its queues: what counts is that it was taken off the list.
    #[test]
    fn the_newest_listed_line_carries_and_a_removed_one_does_not() {
        let (peer, stranger) = (PeerId::random(), PeerId::random());
        let directory = Directory::new(NetworkLimits::default(), [peer]);
        let send = |to| directory.send(to, Channel::Paxos, Bytes::new(), Instant::now()).map(drop);
        let ids = [1, 2].map(ConnectionId::new_unchecked);
        let mut queues = ids.map(|id| {
            let (line, queues) = Line::open();
            directory.add_line(peer, id, line);
            directory.add_line(stranger, id, Line::open().0);
            queues
        });
        assert_eq!((send(peer), send(stranger)), (Ok(()), Err(RequestError::NotConnected)));
        assert!(queues[0][0].try_recv().is_err() && queues[1][0].try_recv().is_ok());
        directory.remove_line(peer, ids[1]);
        assert_eq!(send(peer), Ok(()));
        assert!(queues[0][0].try_recv().is_ok());
        directory.remove_line(peer, ids[0]);
        assert_eq!(send(peer), Err(RequestError::NotConnected));
        assert!(!directory.is_connected(peer));
    }
}
