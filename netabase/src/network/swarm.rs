//! Builds the libp2p swarm: transports, security, limits and the behaviours that go with ours.

use std::{sync::Arc, time::Duration};

use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    connection_limits::{self, ConnectionLimits},
    identify,
    identity::Keypair,
    multiaddr::Protocol,
    noise, ping,
    swarm::NetworkBehaviour,
    tcp, tls, yamux,
};
use tokio::sync::mpsc;

use super::{
    behaviour::PaxosBehaviour, directory::Directory, inbound::NetworkEvent, limits::NetworkLimits,
    protocol::IDENTIFY_PROTOCOL, start::Sockets,
};
use crate::Error;

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    /// First: a stranger is denied before anything else looks at it. Connections that are established are its affair, those
    /// in the making that of the limits.
    paxos: PaxosBehaviour,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

impl Behaviour {
    fn new(keypair: &Keypair, directory: Arc<Directory>, events: mpsc::Sender<NetworkEvent>) -> Self {
        let limits = *directory.limits();
        let connections = ConnectionLimits::default()
            .with_max_pending_incoming(Some(limits.pending_incoming_max))
            .with_max_pending_outgoing(Some(limits.pending_outgoing_max));
        let identify = identify::Config::new(IDENTIFY_PROTOCOL.into(), keypair.public())
            .with_agent_version(concat!("netabase/", env!("CARGO_PKG_VERSION")).into())
            // Peers' addresses come from the configuration, not from what peers say.
            .with_cache_size(0);
        let ping = ping::Config::new().with_interval(limits.ping_interval).with_timeout(limits.ping_timeout);
        Behaviour {
            paxos: PaxosBehaviour::new(directory, events),
            limits: connection_limits::Behaviour::new(connections),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
        }
    }
}

/// `dialled`: all addresses that may be dialled. The system's resolver is read only if one is a name.
pub(super) fn build<'a>(
    keypair: Keypair,
    sockets: &Sockets,
    dialled: impl IntoIterator<Item = &'a Multiaddr>,
    directory: Arc<Directory>,
    events: mpsc::Sender<NetworkEvent>,
) -> Result<Swarm<Behaviour>, Error> {
    let NetworkLimits { handshake_timeout, streams_max, .. } = *directory.limits();
    let network = |error: &dyn std::fmt::Display, hint: &str| Error::Network { reason: format!("{error}; {hint}") };
    let behaviour = |keypair: &Keypair| Behaviour::new(keypair, directory, events);
    let tcp = tcp::Config::new().nodelay(true);
    let muxer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(streams_max as usize);
        config
    };
    let config = |config: libp2p::swarm::Config| {
        config
            // Connections are kept alive by our handler; this is for the moment before it has a say.
            .with_idle_connection_timeout(Duration::from_secs(60))
            .with_max_negotiating_inbound_streams(streams_max as usize)
    };
    match sockets {
        Sockets::System => {}
        #[cfg(any(test, feature = "testing"))]
        Sockets::Faulty(links) => {
            let security = noise::Config::new(&keypair)
                .map_err(|error| network(&error, "the node's identity key cannot be used for noise"))?;
            let me = keypair.public().to_peer_id();
            let transport = links.transport(me, tcp, security, muxer(), handshake_timeout);
            let config = config(libp2p::swarm::Config::with_tokio_executor());
            return Ok(Swarm::new(transport, behaviour(&keypair), me, config));
        }
    }
    let transports = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp, (tls::Config::new, noise::Config::new), muxer)
        .map_err(|error| network(&error, "the node's identity key cannot be used for TLS or noise"))?
        .with_quic_config(|mut config| {
            config.handshake_timeout = handshake_timeout;
            config.max_concurrent_stream_limit = streams_max;
            config
        });
    let built = if dialled.into_iter().any(is_name) {
        transports
            .with_dns()
            .map_err(|error| network(&error, "give the peers' addresses as /ip4 or /ip6, or fix /etc/resolv.conf"))?
            .with_behaviour(behaviour)
            .map(|builder| builder.with_swarm_config(config).with_connection_timeout(handshake_timeout).build())
    } else {
        transports
            .with_behaviour(behaviour)
            .map(|builder| builder.with_swarm_config(config).with_connection_timeout(handshake_timeout).build())
    };
    Ok(match built {
        Ok(swarm) => swarm,
    })
}

fn is_name(address: &Multiaddr) -> bool {
    address
        .iter()
        .any(|part| matches!(part, Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)))
}
