//! `PaxosBehaviour`: who gets a handler, and closing the connections of those who break the protocol.
//!
//! A stranger gets none: libp2p then closes the connection, right after the handshake that told us who
//! it is, and nothing of it remains here but a count.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, ListenFailure,
        NetworkBehaviour, THandler, THandlerInEvent, ToSwarm, behaviour::ConnectionEstablished,
    },
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    directory::{Directory, Line},
    handle::Transport,
    handler::{Handler, Violation},
    inbound::NetworkEvent,
    refused::Reason,
};

pub(super) struct PaxosBehaviour {
    directory: Arc<Directory>,
    events: mpsc::Sender<NetworkEvent>,
    /// Lines of connections that have a handler and may still be denied by another behaviour.
    opening: HashMap<ConnectionId, Line>,
    /// Those that are there, or are still closing.
    established: HashMap<ConnectionId, PeerId>,
    /// What the swarm is to do; two entries a connection at most, since a handler reports once.
    demands: VecDeque<ToSwarm<Expelled, Infallible>>,
}

/// A connection of this peer is being closed because the peer broke the protocol. Closing may hang as
/// long as the kernel tries; for us the connection is gone.
#[derive(Debug)]
pub(super) struct Expelled(pub(super) PeerId);

impl PaxosBehaviour {
    pub(super) fn new(directory: Arc<Directory>, events: mpsc::Sender<NetworkEvent>) -> Self {
        PaxosBehaviour {
            directory,
            events,
            opening: HashMap::new(),
            established: HashMap::new(),
            demands: VecDeque::new(),
        }
    }

    /// `from`: of whom comes to us.
    fn handler(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        from: Option<&Multiaddr>,
    ) -> Result<Handler, ConnectionDenied> {
        let Some(allowance) = self.directory.allowance(peer) else {
            let refused = self.directory.refusals().count(Reason::Stranger);
            if let Some(from) = from {
                self.directory.strangers.note(from, Instant::now());
            }
            // At each power of two, so that a stranger cannot fill the log.
            if refused.is_power_of_two() {
                tracing::warn!(%peer, refused, "refused a peer that is not a member of the cluster");
            }
            return Err(ConnectionDenied::new(Refusal::Stranger(peer)));
        };
        let limits = self.directory.limits();
        let own = self.established.values().filter(|other| **other == peer).count();
        let crowded = || self.directory.count_guests(self.established.values()) >= limits.connections_max as usize;
        let own_max = limits.connections_per_peer_max as usize;
        if own >= own_max || !allowance.take_connection(Instant::now()) || !allowance.is_node() && crowded() {
            self.directory.refusals().count(Reason::Connections);
            if let Some(from) = from.filter(|_| !allowance.is_node()) {
                // A handshake costs as much, whoever it is.
                self.directory.strangers.note(from, Instant::now());
            }
            return Err(ConnectionDenied::new(Refusal::Connections(peer)));
        }
        let (line, queues) = Line::open();
        self.opening.insert(connection, line);
        Ok(Handler::new(peer, &self.directory, allowance, queues, &self.events))
    }
}

impl NetworkBehaviour for PaxosBehaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Expelled;

    fn handle_pending_inbound_connection(
        &mut self,
        _connection: ConnectionId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.directory.strangers.bars(remote, Instant::now()) {
            self.directory.refusals().count(Reason::Barred);
            return Err(ConnectionDenied::new(Refusal::Barred));
        }
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer, connection, Some(remote))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _remote: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer, connection, None)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                self.established.insert(connection_id, peer_id);
                if let Some(line) = self.opening.remove(&connection_id) {
                    self.directory.add_line(peer_id, connection_id, line);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.established.remove(&connection_id);
                self.directory.remove_line(peer_id, connection_id);
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. })
            | FromSwarm::DialFailure(DialFailure { connection_id, .. }) => {
                self.opening.remove(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, violation: Violation) {
        let Violation { channel, error } = violation;
        let refused = self.directory.refusals().count(error.reason());
        if refused.is_power_of_two() {
            tracing::warn!(%peer, ?channel, %error, refused, "closed the connection of a peer that broke the protocol");
        }
        self.directory.remove_line(peer, connection);
        let connection = CloseConnection::One(connection);
        self.demands.push_back(ToSwarm::CloseConnection { peer_id: peer, connection });
        self.demands.push_back(ToSwarm::GenerateEvent(Expelled(peer)));
    }

    /// Polled by the swarm after each event that it passes on, so no waker is needed.
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.demands.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Why a connection was denied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0} is not a member of this cluster")]
    Stranger(PeerId),
    #[error("there are too many connections, of {0} or of all clients")]
    Connections(PeerId),
    #[error("too many strangers come from this address")]
    Barred,
}
