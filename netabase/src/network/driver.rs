//! Owns the swarm: listens, dials, notices who came and went. Requests do not pass through here.
//!
//! Must be polled for the network to live; ends when the node has dropped its receiver of events.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, connection_limits,
    core::transport::ListenerId,
    ping,
    swarm::{
        ListenError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    behaviour::Expelled,
    dialer::Dialer,
    directory::{Directory, Members},
    handle::Transport,
    inbound::NetworkEvent,
    listen,
    refused::Reason,
    swarm::{Behaviour, BehaviourEvent},
};
use crate::Error;

/// How long the system may take to name the interfaces of 0.0.0.0.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Driver {
    swarm: Swarm<Behaviour>,
    directory: Arc<Directory>,
    dialer: Dialer,
    peers: Vec<PeerId>,
    /// Whom the node was told to be connected to.
    announced: BTreeSet<PeerId>,
    events: mpsc::Sender<NetworkEvent>,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        directory: Arc<Directory>,
        peers: Vec<(PeerId, Vec<Multiaddr>)>,
        events: mpsc::Sender<NetworkEvent>,
    ) -> Self {
        let limits = directory.limits();
        let ids = peers.iter().map(|(peer, _)| *peer).collect();
        let dialer = Dialer::new(peers, limits.redial_min, limits.redial_max, Instant::now());
        Driver { swarm, directory, dialer, peers: ids, announced: BTreeSet::new(), events }
    }

    /// Returns when all the addresses are bound, or with what is wrong with one of them.
    pub(super) async fn listen(&mut self, addresses: &[Multiaddr]) -> Result<(), Error> {
        let mut unbound: HashMap<ListenerId, Multiaddr> = HashMap::new();
        for address in addresses {
            listen::probe(address)?;
            let id = self.swarm.listen_on(address.clone()).map_err(|error| listen::failed(address, &error))?;
            unbound.insert(id, address.clone());
        }
        let deadline = Instant::now() + BIND_TIMEOUT;
        while let Some(address) = unbound.values().next().cloned() {
            let event = tokio::time::timeout_at(deadline, self.swarm.select_next_some())
                .await
                .map_err(|_| listen::failed(&address, &io::Error::from(io::ErrorKind::AddrNotAvailable)))?;
            match event {
                SwarmEvent::NewListenAddr { listener_id, .. } => {
                    unbound.remove(&listener_id);
                }
                SwarmEvent::ListenerError { listener_id, error }
                | SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. }
                    if unbound.contains_key(&listener_id) =>
                {
                    return Err(listen::failed(&unbound[&listener_id], &error));
                }
                other => self.on_event(other),
            }
        }
        self.note_listeners();
        Ok(())
    }

    pub(super) async fn run(mut self) {
        let events = self.events.clone();
        let mut members = self.directory.follow_members();
        members.mark_changed();
        loop {
            let news = self.news();
            let due = self.dialer.next_due();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.dial(),
                permit = events.reserve(), if news.is_some() => match (permit, news) {
                    (Ok(permit), Some(news)) => {
                        match news {
                            NetworkEvent::Connected(peer) => self.announced.insert(peer),
                            NetworkEvent::Disconnected(peer) => self.announced.remove(&peer),
                            NetworkEvent::Request(_) => false,
                        };
                        permit.send(news);
                    }
                    _ => return,
                },
                changed = members.changed() => {
                if changed.is_err() {
                    return;
                }
                let members = members.borrow_and_update().clone();
                // Empty: nobody has said anything yet, and it stays with those it began with.
                if !members.is_empty() {
                    self.on_members(members);
                }
            }
                () = events.closed() => return,
            }
        }
    }

    fn on_members(&mut self, members: Members) {
        let is_member = |peer: &PeerId| members.iter().any(|(member, _)| member == peer);
        for gone in self.peers.extract_if(.., |peer| !is_member(peer)) {
            // An error says that it is not connected.
            let _ = self.swarm.disconnect_peer_id(gone);
            self.announced.remove(&gone);
        }
        self.peers = members.iter().map(|(peer, _)| *peer).collect();
        self.dialer.set_targets(members, Instant::now());
    }

    /// The next change of who is connected that the node has not been told of. Computed, not queued: a
    /// node that is behind costs no memory, and sees the newest.
    fn news(&self) -> Option<NetworkEvent> {
        self.peers.iter().find_map(|peer| match (self.announced.contains(peer), self.directory.is_connected(*peer)) {
            (false, true) => Some(NetworkEvent::Connected(*peer)),
            (true, false) => Some(NetworkEvent::Disconnected(*peer)),
            _ => None,
        })
    }

    fn dial(&mut self) {
        let now = Instant::now();
        while let Some((peer, addresses)) = self.dialer.take_due(now) {
            // From a port of its own: were it the listening one, as is libp2p's habit, two nodes that
            // dial each other would collide on the same pair of addresses. Unconditionally: a dead
            // connection that takes its time to close must not stand in the way of a new one.
            let opts = DialOpts::peer_id(peer)
                .condition(PeerCondition::Always)
                .addresses(addresses)
                .allocate_new_port()
                .build();
            if let Err(error) = self.swarm.dial(opts) {
                tracing::debug!(%peer, %error, "cannot dial");
                self.dialer.on_dial_failed(peer, now, jitter());
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => self.dialer.on_connected(peer_id, Instant::now()),
            SwarmEvent::ConnectionClosed { peer_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "a connection closed");
                self.on_lost(peer_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, %error, "a dial failed");
                self.dialer.on_dial_failed(peer, Instant::now(), jitter());
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "an incoming connection failed");
                if let ListenError::Denied { cause } = error
                    && cause.downcast::<connection_limits::Exceeded>().is_ok()
                {
                    self.directory.refusals().count(Reason::Connections);
                }
            }
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => self.note_listeners(),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "stopped listening");
                self.note_listeners();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Paxos(Expelled(peer))) => self.on_lost(peer),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, connection, result: Err(error) }))
                if !matches!(error, ping::Failure::Unsupported) =>
            {
                tracing::info!(%peer, %error, "a connection no longer answers; closing it");
                // Closing may hang as long as the kernel tries; for us it is closed now.
                self.directory.remove_line(peer, connection);
                self.swarm.close_connection(connection);
                self.on_lost(peer);
            }
            _ => {}
        }
    }

    fn on_lost(&mut self, peer: PeerId) {
        if !self.directory.is_connected(peer) {
            self.dialer.on_disconnected(peer, Instant::now(), jitter());
        }
    }

    fn note_listeners(&self) {
        self.directory.set_listen_addresses(self.swarm.listeners().cloned().collect());
    }
}

/// From 0 to 1. The standard library's hasher is seeded at random, which is random enough here.
fn jitter() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
