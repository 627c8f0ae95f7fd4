//! Two peers over sockets, and what lies between them.

use bytes::Bytes;
use libp2p::identity::Keypair;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::*;
use crate::network::{
    Channel, Inbound, Network, NetworkConfig, NetworkEvent, NetworkLimits, RequestError, Sockets, start,
};

/// Far more than anything here takes; a test that runs into it has failed.
const TIMEOUT: Duration = Duration::from_secs(20);
/// For how long is waited for what must not come.
const SILENCE: Duration = Duration::from_millis(300);

struct Peer {
    network: Network,
    events: mpsc::Receiver<NetworkEvent>,
    driver: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Peer {
    async fn start(links: &Links, keypair: &Keypair, other: PeerId) -> Peer {
        Self::start_with(links, keypair, (other, vec![Links::address_of(other)])).await
    }

    async fn start_with(links: &Links, keypair: &Keypair, other: (PeerId, Vec<Multiaddr>)) -> Peer {
        let config = NetworkConfig {
            keypair: keypair.clone(),
            listen: Links::listen(),
            peers: vec![other],
            limits: NetworkLimits::default(),
            sockets: Sockets::Faulty(links.clone()),
        };
        let (network, events, driver) = start(config).await.unwrap();
        Peer { network, events, driver: tokio::spawn(driver) }
    }

    async fn next(&mut self) -> NetworkEvent {
        timeout(TIMEOUT, self.events.recv()).await.expect("it comes").expect("the network is up")
    }

    async fn request(&mut self) -> Inbound {
        loop {
            if let NetworkEvent::Request(request) = self.next().await {
                return request;
            }
        }
    }

    /// Waits until it is told that the other peer is connected, or no longer.
    async fn until_connected(&mut self, to: &Peer, connected: bool) {
        while self.network.is_connected(to.network.peer_id()) != connected {
            self.next().await;
        }
    }

    fn ask(&self, to: &Peer, payload: &'static [u8]) -> JoinHandle<Result<Bytes, RequestError>> {
        let to = to.network.peer_id();
        tokio::spawn(self.network.request(to, Channel::Paxos, Bytes::from_static(payload), TIMEOUT))
    }

    /// Asks something, and has it answered.
    async fn talk(&self, to: &mut Peer) {
        let asked = self.ask(to, b"hello");
        let request = to.request().await;
        request.reply.send(Bytes::from_static(b"yes"));
        assert_eq!(asked.await.unwrap(), Ok(Bytes::from_static(b"yes")));
    }
}

async fn pair(links: &Links) -> (Peer, Peer) {
    let keys = [Keypair::generate_ed25519(), Keypair::generate_ed25519()];
    let [a, b] = keys.each_ref().map(|key| key.public().to_peer_id());
    let (mut one, mut other) = (Peer::start(links, &keys[0], b).await, Peer::start(links, &keys[1], a).await);
    one.until_connected(&other, true).await;
    other.until_connected(&one, true).await;
    (one, other)
}

/// Waits for what must not come.
async fn silent(answer: &mut JoinHandle<Result<Bytes, RequestError>>) {
    assert!(timeout(SILENCE, answer).await.is_err(), "it came through");
}

/// Each way in turn: who is cut may be who has dialled, or not.
#[tokio::test]
async fn a_cut_holds_one_direction_back_and_the_other_one_goes_on() {
    let links = Links::new(0);
    let (mut a, mut b) = pair(&links).await;
    // A stream that is opened waits for a word of the other side: here they are open.
    a.talk(&mut b).await;
    b.talk(&mut a).await;
    for _ in 0..2 {
        links.block(a.network.peer_id(), b.network.peer_id());
        // What a asks does not reach b.
        let mut asked = a.ask(&b, b"from a");
        silent(&mut asked).await;
        // What b asks reaches a, and a's answer does not reach b.
        let mut answered = b.ask(&a, b"from b");
        let request = a.request().await;
        assert_eq!(request.payload, Bytes::from_static(b"from b"));
        request.reply.send(Bytes::from_static(b"of a"));
        silent(&mut answered).await;
        // Both come through once it is healed, and nothing was lost.
        links.heal();
        assert_eq!(answered.await.unwrap(), Ok(Bytes::from_static(b"of a")));
        let request = b.request().await;
        assert_eq!(request.payload, Bytes::from_static(b"from a"));
        request.reply.send(Bytes::from_static(b"of b"));
        assert_eq!(asked.await.unwrap(), Ok(Bytes::from_static(b"of b")));
        std::mem::swap(&mut a, &mut b);
    }
}

#[tokio::test]
async fn a_silent_partition_holds_both_back_and_a_refusing_one_closes() {
    let links = Links::new(0);
    let (mut a, mut b) = pair(&links).await;
    let group = [a.network.peer_id()];
    links.partition(&[&group]);
    let mut asked = [a.ask(&b, b"from a"), b.ask(&a, b"from b")];
    for asked in &mut asked {
        silent(asked).await;
    }
    assert!(a.network.is_connected(b.network.peer_id()));
    links.set_separation(Separation::Closed);
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Err(RequestError::ConnectionLost));
    }
    a.until_connected(&b, false).await;
    b.until_connected(&a, false).await;
    assert_eq!(a.ask(&b, b"more").await.unwrap(), Err(RequestError::NotConnected));
    links.heal();
    a.until_connected(&b, true).await;
    b.until_connected(&a, true).await;
    a.talk(&mut b).await;
}

#[tokio::test]
async fn a_peer_that_is_cut_says_nothing_more_and_is_found_on_another_port() {
    let links = Links::new(0);
    let keys = [Keypair::generate_ed25519(), Keypair::generate_ed25519()];
    let [a_id, b_id] = keys.each_ref().map(|key| key.public().to_peer_id());
    // Only the survivor dials: it is what it finds that is tested.
    let mut b = Peer::start(&links, &keys[1], a_id).await;
    for parted in [false, true] {
        let mut a = Peer::start_with(&links, &keys[0], (b_id, Vec::new())).await;
        b.until_connected(&a, true).await;
        a.until_connected(&b, true).await;
        b.talk(&mut a).await;
        let asked = b.ask(&a, b"are you there");
        let request = a.request().await;
        if parted {
            links.partition(&[&[a_id]]);
        }
        let since = Instant::now();
        links.cut(a_id);
        request.reply.send(Bytes::from_static(b"too late"));
        assert_eq!(asked.await.unwrap(), Err(RequestError::ConnectionLost));
        b.until_connected(&a, false).await;
        assert!(since.elapsed() < TIMEOUT / 4, "found out by the silence, after {:?}", since.elapsed());
        assert!(!links.lock().listening.contains_key(&a_id));
    }
}

#[tokio::test]
async fn a_delay_holds_back_and_keeps_the_order() {
    const DELAY: Duration = Duration::from_millis(80);
    let links = Links::new(7);
    let (a, mut b) = pair(&links).await;
    a.talk(&mut b).await;
    links.set_delay(DELAY..2 * DELAY);
    let since = Instant::now();
    a.talk(&mut b).await;
    assert!(since.elapsed() >= 2 * DELAY, "there and back took {:?}", since.elapsed());
    let asked = [a.ask(&b, b"0"), a.ask(&b, b"1"), a.ask(&b, b"2")];
    for expected in [&b"0"[..], b"1", b"2"] {
        assert_eq!(b.request().await.payload, expected);
    }
    links.set_delay(Duration::ZERO..Duration::ZERO);
    drop(asked);
    a.talk(&mut b).await;
}
