//! Brings the network up: what a node gives, and what it gets.

use libp2p::{Multiaddr, PeerId, identity::Keypair};
use tokio::sync::mpsc;

use super::{
    directory::Directory, driver::Driver, handle::Network, inbound::NetworkEvent, limits::EVENT_QUEUE_MAX,
    limits::NetworkLimits, swarm,
};
use crate::Error;

#[derive(Debug)]
pub(crate) struct NetworkConfig {
    pub(crate) keypair: Keypair,
    /// `/ip4/…/tcp/…` or `/ip4/…/udp/…/quic-v1`, or the same with ip6; port 0 for any free one.
    pub(crate) listen: Vec<Multiaddr>,
    /// The voters: the only peers that are let in. Those with an address are dialled until they are
    /// connected. May name this node itself, which is passed over.
    pub(crate) peers: Vec<(PeerId, Vec<Multiaddr>)>,
    pub(crate) limits: NetworkLimits,
    pub(crate) sockets: Sockets,
}

/// Whose sockets carry the bytes.
#[derive(Clone, Debug)]
pub(crate) enum Sockets {
    /// The system's.
    System,
    /// The same, on loopback and with faults on demand; peers are found by name.
    #[cfg(any(test, feature = "testing"))]
    Faulty(super::links::Links),
}

/// Starts the network. On return every listen address is bound. The caller spawns the driver, wherever
/// it likes within the runtime; the network ends when the driver or the receiver is dropped.
///
/// # Errors
/// `Error::Configuration` for `listen`: which address cannot be bound, why, and what to do.
/// `Error::Network` if the identity or the system's resolver cannot be used.
pub(crate) async fn start(
    config: NetworkConfig,
) -> Result<(Network, mpsc::Receiver<NetworkEvent>, impl Future<Output = ()> + Send + 'static), Error> {
    let NetworkConfig { keypair, listen, mut peers, limits, sockets } = config;
    let local = PeerId::from(keypair.public());
    peers.retain(|(peer, _)| *peer != local);
    let (events, receiver) = mpsc::channel(EVENT_QUEUE_MAX);
    let directory = Directory::new(limits, peers.iter().map(|(peer, _)| *peer));
    let dialled = peers.iter().flat_map(|(_, addresses)| addresses);
    let swarm = swarm::build(keypair, &sockets, dialled, directory.clone(), events.clone())?;
    let mut driver = Driver::new(swarm, directory.clone(), peers, events);
    driver.listen(&listen).await?;
    Ok((Network::new(local, directory), receiver, driver.run()))
}
