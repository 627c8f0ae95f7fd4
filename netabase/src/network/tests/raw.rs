//! A libp2p peer that shakes hands like a node and then sends whatever a test likes.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Stream, Swarm, SwarmBuilder,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    identity::Keypair,
    noise,
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        StreamProtocol, SubstreamProtocol, SwarmEvent, THandler, THandlerInEvent, ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
    tcp, yamux,
};
use tokio::sync::mpsc;

use super::{Channel, within};

/// What happened to the raw peer.
#[derive(Debug)]
pub(super) enum RawEvent {
    Connected,
    Closed,
    /// A substream that we opened.
    Opened(Stream),
    /// A substream that the node opened.
    Accepted(Stream),
    Unopened,
}

/// Opens one substream on each of its connections; runs for as long as its events are received.
pub(super) struct Raw {
    pub(super) peer_id: PeerId,
    pub(super) events: mpsc::Receiver<RawEvent>,
}

impl Raw {
    /// Listens on a free port, and dials `dial`.
    pub(super) async fn start(keypair: &Keypair, dial: Option<Multiaddr>) -> Raw {
        Raw::start_on(Channel::Paxos, keypair, dial).await
    }

    /// The same, with a substream of this channel.
    pub(super) async fn start_on(channel: Channel, keypair: &Keypair, dial: Option<Multiaddr>) -> Raw {
        Raw::start_with(channel, false, keypair, dial).await
    }

    /// The same, with one substream after the other.
    pub(super) async fn start_over_and_over(channel: Channel, keypair: &Keypair, dial: Option<Multiaddr>) -> Raw {
        Raw::start_with(channel, true, keypair, dial).await
    }

    async fn start_with(channel: Channel, again: bool, keypair: &Keypair, dial: Option<Multiaddr>) -> Raw {
        let (sender, events) = mpsc::channel(1024);
        let behaviour = RawBehaviour { channel, again, events: sender.clone() };
        let mut swarm: Swarm<RawBehaviour> = SwarmBuilder::with_existing_identity(keypair.clone())
            .with_tokio()
            .with_tcp(tcp::Config::new().nodelay(true), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| behaviour)
            .unwrap()
            .build();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let mut listening = false;
        while !listening {
            listening = matches!(within(swarm.select_next_some()).await, SwarmEvent::NewListenAddr { .. });
        }
        if let Some(address) = dial {
            swarm.dial(address).unwrap();
        }
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = swarm.select_next_some() => event,
                    () = sender.closed() => return,
                };
                let event = match event {
                    SwarmEvent::ConnectionEstablished { .. } => RawEvent::Connected,
                    SwarmEvent::ConnectionClosed { .. } => RawEvent::Closed,
                    _ => continue,
                };
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        });
        Raw { peer_id: keypair.public().to_peer_id(), events }
    }

    pub(super) async fn next(&mut self) -> RawEvent {
        within(self.events.recv()).await.expect("the raw peer runs")
    }

    /// The first substream that the node accepts.
    pub(super) async fn opened(&mut self) -> Stream {
        loop {
            if let RawEvent::Opened(stream) = self.next().await {
                return stream;
            }
        }
    }

    pub(super) async fn accepted(&mut self) -> Stream {
        loop {
            if let RawEvent::Accepted(stream) = self.next().await {
                return stream;
            }
        }
    }

    pub(super) async fn closed(&mut self) {
        while !matches!(self.next().await, RawEvent::Closed) {}
    }
}

struct RawBehaviour {
    channel: Channel,
    again: bool,
    events: mpsc::Sender<RawEvent>,
}

impl NetworkBehaviour for RawBehaviour {
    type ConnectionHandler = RawHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(RawHandler { channel: self.channel, again: self.again, events: self.events.clone(), requested: false })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(RawHandler { channel: self.channel, again: self.again, events: self.events.clone(), requested: false })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

struct RawHandler {
    channel: Channel,
    again: bool,
    events: mpsc::Sender<RawEvent>,
    requested: bool,
}

impl ConnectionHandler for RawHandler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.channel.protocol()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if std::mem::replace(&mut self.requested, true) {
            return Poll::Pending;
        }
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol: self.listen_protocol() })
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        let event = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                RawEvent::Accepted(protocol)
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.requested &= !self.again;
                RawEvent::Opened(protocol)
            }
            ConnectionEvent::DialUpgradeError(_) => RawEvent::Unopened,
            _ => return,
        };
        self.events.try_send(event).expect("the test keeps up");
    }
}
