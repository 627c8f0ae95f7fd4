//! `PaxosBehaviour`: who gets a handler, and closing the connections of those who break the protocol.
//!
//! A stranger gets none: libp2p then closes the connection, right after the handshake that told us who
//! it is, and nothing of it remains here but a count.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    fmt,
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
use tokio::sync::mpsc;

use super::{
    directory::{Directory, Line},
    handler::{Handler, Violation},
    inbound::NetworkEvent,
};

pub(super) struct PaxosBehaviour {
    directory: Arc<Directory>,
    events: mpsc::Sender<NetworkEvent>,
    /// Lines of connections that have a handler and may still be denied by another behaviour.
    opening: HashMap<ConnectionId, Line>,
    /// What the swarm is to do; two entries a connection at most, since a handler reports once.
    demands: VecDeque<ToSwarm<Expelled, Infallible>>,
}

/// A connection of this peer is being closed because the peer broke the protocol. Closing may hang as
/// long as the kernel tries; for us the connection is gone.
#[derive(Debug)]
pub(super) struct Expelled(pub(super) PeerId);

impl PaxosBehaviour {
    pub(super) fn new(directory: Arc<Directory>, events: mpsc::Sender<NetworkEvent>) -> Self {
        PaxosBehaviour { directory, events, opening: HashMap::new(), demands: VecDeque::new() }
    }

    fn handler(&mut self, peer: PeerId, connection: ConnectionId) -> Result<Handler, ConnectionDenied> {
        let Some(gates) = self.directory.gates(peer) else {
            let refused = self.directory.count_refusal();
            // At each power of two, so that a stranger cannot fill the log.
            if refused.is_power_of_two() {
                tracing::warn!(%peer, refused, "refused a peer that is not a member of the cluster");
            }
            return Err(ConnectionDenied::new(Stranger(peer)));
        };
        let (line, queues) = Line::open();
        self.opening.insert(connection, line);
        Ok(Handler::new(peer, self.directory.limits(), gates, queues, &self.events, self.directory.door()))
    }
}

impl NetworkBehaviour for PaxosBehaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Expelled;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer, connection)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _remote: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer, connection)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                if let Some(line) = self.opening.remove(&connection_id) {
                    self.directory.add_line(peer_id, connection_id, line);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
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
        tracing::warn!(%peer, ?channel, %error, "closed the connection of a peer that broke the protocol");
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

/// Why a stranger's connection was denied.
#[derive(Debug)]
pub(super) struct Stranger(PeerId);

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a member of this cluster", self.0)
    }
}

impl std::error::Error for Stranger {}
