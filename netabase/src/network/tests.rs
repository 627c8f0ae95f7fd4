//! The network over real loopback sockets: every port is 0, every wait is for an event.

mod hostile;
mod limits;
mod raw;
mod recovery;
mod round_trip;
mod speed;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{handle::RequestResult, *};

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
/// Far more than anything here takes; a test that runs into it has failed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A started node. `crash`, or dropping it, closes its sockets without a word to anyone.
struct Node {
    network: Network,
    events: mpsc::Receiver<NetworkEvent>,
    connected: BTreeSet<PeerId>,
    driver: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn try_start(
    keypair: &Keypair,
    listen: &[&str],
    peers: &[(PeerId, Vec<Multiaddr>)],
    limits: NetworkLimits,
) -> Result<Node, crate::Error> {
    let config = NetworkConfig {
        keypair: keypair.clone(),
        listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
        peers: peers.to_vec(),
        limits,
        sockets: Sockets::System,
    };
    let (network, events, driver) = start(config).await?;
    Ok(Node { network, events, connected: BTreeSet::new(), driver: tokio::spawn(driver) })
}

async fn started(keypair: &Keypair, listen: &[&str], peers: &[(PeerId, Vec<Multiaddr>)]) -> Node {
    try_start(keypair, listen, peers, NetworkLimits::default()).await.unwrap()
}

impl Node {
    fn peer_id(&self) -> PeerId {
        self.network.peer_id()
    }

    /// Returns when its ports are free again.
    async fn crash(mut self) {
        self.driver.abort();
        let _ = (&mut self.driver).await;
    }

    /// The next request; takes note of who comes and goes.
    async fn next_request(&mut self) -> Inbound {
        loop {
            match within(self.events.recv()).await.expect("the network is up") {
                NetworkEvent::Request(request) => return request,
                NetworkEvent::Connected(peer) => {
                    assert!(self.connected.insert(peer), "connected twice")
                }
                NetworkEvent::Disconnected(peer) => {
                    assert!(self.connected.remove(&peer), "was not connected")
                }
            }
        }
    }

    async fn wait_until(&mut self, peer: PeerId, connected: bool) {
        while self.connected.contains(&peer) != connected {
            match within(self.events.recv()).await.expect("the network is up") {
                NetworkEvent::Request(request) => request.reply.send(request.payload),
                NetworkEvent::Connected(peer) => {
                    assert!(self.connected.insert(peer), "connected twice")
                }
                NetworkEvent::Disconnected(peer) => {
                    assert!(self.connected.remove(&peer), "was not connected")
                }
            }
        }
    }

    /// Answers every request with its payload from now on.
    fn echo(mut self) -> Echo {
        let network = self.network.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = self.events.recv().await {
                if let NetworkEvent::Request(request) = event {
                    request.reply.send(request.payload);
                }
            }
        });
        Echo { network, task }
    }

    fn ask(&self, to: PeerId, payload: Bytes) -> impl Future<Output = RequestResult> + Send + use<> {
        self.network.request(to, Channel::Paxos, payload, TIMEOUT)
    }
}

struct Echo {
    network: Network,
    task: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("it hangs")
}

/// Two nodes on the same kind of socket, connected both ways. Only the first listens.
async fn pair_with(listen: &str, limits: NetworkLimits) -> (Node, Node) {
    let (a, b) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (a_id, b_id) = (a.public().to_peer_id(), b.public().to_peer_id());
    let mut a = try_start(&a, &[listen], &[(b_id, Vec::new())], limits).await.unwrap();
    let addresses = a.network.listen_addresses();
    assert_eq!(addresses.len(), 1);
    let mut b = try_start(&b, &[], &[(a_id, addresses)], limits).await.unwrap();
    a.wait_until(b_id, true).await;
    b.wait_until(a_id, true).await;
    (a, b)
}

async fn pair(listen: &str) -> (Node, Node) {
    pair_with(listen, NetworkLimits::default()).await
}
