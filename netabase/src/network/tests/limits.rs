//! Limits that may be set, each low enough to be met here, and what is counted when it is.

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;

use super::{
    hostile::frame,
    raw::{Raw, RawEvent},
    *,
};
use crate::network::{Access, Guests, protocol::KIND_REQUEST};

/// A node with these limits, to which one peer may connect, as what it is.
async fn hosting(limits: NetworkLimits, access: Access) -> (Node, Keypair) {
    let (keypair, guest) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let peers = vec![(guest.public().to_peer_id(), Vec::new())];
    let node = try_start(&keypair, &[TCP], &peers, limits).await.unwrap();
    node.network.set_members(peers, &Guests::from([(guest.public().to_peer_id(), access)]));
    (node, guest)
}

async fn guest(node: &Node, keypair: &Keypair, channel: Channel) -> (Raw, Stream) {
    let mut raw = Raw::start_on(channel, keypair, node.network.listen_addresses().pop()).await;
    let stream = raw.opened().await;
    (raw, stream)
}

async fn ask(stream: &mut Stream, requests: u64) {
    let frames: Vec<u8> = (1..=requests).flat_map(|id| frame(KIND_REQUEST, id, b"tell me")).collect();
    stream.write_all(&frames).await.unwrap();
    stream.flush().await.unwrap();
}

fn refused(node: &Node) -> Refused {
    node.network.refusals().all()
}

const CLIENT: Access = Access::Only(Channel::Client);

#[tokio::test]
async fn a_client_is_heard_on_its_channel_and_on_no_other() {
    let (mut node, keypair) = hosting(NetworkLimits::default(), CLIENT).await;
    let mut raw = Raw::start(&keypair, node.network.listen_addresses().pop()).await;
    loop {
        match raw.next().await {
            RawEvent::Closed => break,
            // It may be closed before the other side has noticed that it was opened.
            RawEvent::Opened(mut stream) => {
                let _ = stream.write_all(&frame(KIND_REQUEST, 1, b"promise me")).await;
                let _ = stream.flush().await;
            }
            _ => {}
        }
    }
    assert_eq!(refused(&node), Refused { not_allowed: 1, ..Refused::default() });
    let (_raw, mut stream) = guest(&node, &keypair, Channel::Client).await;
    ask(&mut stream, 1).await;
    assert_eq!(node.next_request().await.channel, Channel::Client, "nothing came before");
}

#[tokio::test]
async fn a_client_that_becomes_a_node_is_heard_as_one() {
    let (mut node, keypair) = hosting(NetworkLimits::default(), CLIENT).await;
    node.network.set_members(vec![(keypair.public().to_peer_id(), Vec::new())], &Guests::default());
    let (_raw, mut stream) = guest(&node, &keypair, Channel::Paxos).await;
    ask(&mut stream, 1).await;
    assert_eq!(node.next_request().await.channel, Channel::Paxos);
    assert_eq!(refused(&node), Refused::default());
}

/// Four at once, then four a second: of eight, the first and the last are a second apart.
#[tokio::test]
async fn a_client_s_requests_wait_for_their_turn_and_a_node_s_do_not() {
    for (access, pause) in [(CLIENT, Duration::from_millis(900)), (Access::Node, Duration::ZERO)] {
        let limits = NetworkLimits::default().requests_per_second_max(4);
        let (mut node, keypair) = hosting(limits, access).await;
        let (_raw, mut stream) = guest(&node, &keypair, Channel::Client).await;
        let sent = std::time::Instant::now();
        ask(&mut stream, 8).await;
        for _ in 0..8 {
            node.next_request().await.reply.send(Bytes::new());
        }
        assert!(sent.elapsed() >= pause, "{access:?}");
        assert_eq!(refused(&node).too_fast > 0, access == CLIENT, "{access:?}");
    }
}

/// What is of no use costs its sender its speed, also if it is a node; the bucket's own test has the numbers.
#[tokio::test]
async fn a_node_that_sends_nonsense_is_read_slowly() {
    let (mut node, keypair) = hosting(NetworkLimits::default(), Access::Node).await;
    for _ in 0..crate::network::limits::OFFENCES_BURST {
        node.network.blame(&keypair.public().to_peer_id(), crate::network::Reason::Foreign);
    }
    let (_raw, mut stream) = guest(&node, &keypair, Channel::Paxos).await;
    let since = std::time::Instant::now();
    for _ in 0..64 {
        ask(&mut stream, 1).await;
        let request = node.next_request().await;
        node.network.blame(&request.from, crate::network::Reason::Foreign);
        request.reply.send(Bytes::new());
    }
    assert!(refused(&node).too_fast > 0);
    assert!(since.elapsed() >= Duration::from_millis(100), "256 a second");
}

#[tokio::test]
async fn who_reads_no_answer_for_too_long_is_closed_and_counted() {
    let limits = NetworkLimits::default().slow_reader_timeout(Duration::from_millis(200));
    let (mut node, keypair) = hosting(limits, CLIENT).await;
    let (mut raw, mut stream) = guest(&node, &keypair, Channel::Client).await;
    ask(&mut stream, 8).await;
    for _ in 0..8 {
        node.next_request().await.reply.send(vec![0; 1 << 20].into());
    }
    raw.closed().await;
    assert_eq!(refused(&node), Refused { slow_readers: 1, ..Refused::default() });
    drop(stream);
}

/// It reads a little at a time, and takes for the whole much longer than a pause may be.
#[tokio::test]
async fn who_reads_slowly_is_not_closed() {
    let limits = NetworkLimits::default().slow_reader_timeout(Duration::from_millis(500));
    let (mut node, keypair) = hosting(limits, CLIENT).await;
    let (_raw, mut stream) = guest(&node, &keypair, Channel::Client).await;
    ask(&mut stream, 1).await;
    node.next_request().await.reply.send(vec![0; 3 << 20].into());
    let mut part = vec![0; 256 << 10];
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        within(stream.read_exact(&mut part)).await.unwrap();
    }
    assert_eq!(refused(&node), Refused::default());
}

/// Each answer is made when those before it are out of the way.
#[tokio::test]
async fn answers_wait_for_room() {
    let limits = NetworkLimits::default().bytes_in_flight_max(1 << 20);
    let (mut node, keypair) = hosting(limits, CLIENT).await;
    let (_raw, mut stream) = guest(&node, &keypair, Channel::Client).await;
    ask(&mut stream, 8).await;
    let mut requests = Vec::new();
    for _ in 0..8 {
        requests.push(node.next_request().await);
    }
    let mut answered = 0;
    for request in requests {
        // No event can tell that there will be no room; a short wait can only err towards passing.
        let Ok(()) = tokio::time::timeout(Duration::from_millis(100), request.reply.room()).await else { break };
        request.reply.send(vec![0; 1 << 20].into());
        answered += 1;
    }
    assert!((1..=4).contains(&answered), "{answered} answers wait for a peer that may have 1 MiB in flight");
}

#[tokio::test]
async fn a_peer_and_all_clients_together_have_so_many_connections_and_nodes_have_room() {
    let [keypair, node, client, other] = [(); 4].map(|()| Keypair::generate_ed25519());
    let peers = [&node, &client, &other].map(|peer| (peer.public().to_peer_id(), Vec::new())).to_vec();
    let limits = NetworkLimits::default().connections_max(2).connections_per_peer_max(2);
    let host = try_start(&keypair, &[TCP], &peers, limits).await.unwrap();
    host.network.set_members(peers, &[&client, &other].map(|guest| (guest.public().to_peer_id(), CLIENT)).into());
    let first = guest(&host, &client, Channel::Client).await;
    let second = guest(&host, &client, Channel::Client).await;
    for (refusals, peer) in [(1, &client), (2, &other)] {
        let mut third = Raw::start_on(Channel::Client, peer, host.network.listen_addresses().pop()).await;
        third.closed().await;
        assert_eq!(refused(&host), Refused { connections: refusals, ..Refused::default() });
    }
    let _member = guest(&host, &node, Channel::Paxos).await;
    drop((first, second));
    assert_eq!(refused(&host).connections, 2);
}

#[tokio::test]
async fn streams_opened_over_and_over_end_the_connection() {
    let (node, keypair) = hosting(NetworkLimits::default().streams_per_connection_max(32), CLIENT).await;
    let mut raw = Raw::start_over_and_over(Channel::Client, &keypair, node.network.listen_addresses().pop()).await;
    let mut opened = 0;
    loop {
        match raw.next().await {
            RawEvent::Opened(_) => opened += 1,
            RawEvent::Closed => break,
            _ => {}
        }
        assert!(opened < 200, "the node does not mind");
    }
    assert_eq!(refused(&node), Refused { streams: 1, ..Refused::default() });
}

#[test]
fn limits_that_no_node_can_work_with_are_refused_by_name() {
    let sound = NetworkLimits::default();
    assert!(sound.check().is_ok());
    for (name, limits) in [
        ("connections_max", sound.connections_max(0)),
        ("connections_per_peer_max", sound.connections_per_peer_max(1)),
        ("streams_per_connection_max", sound.streams_per_connection_max(31)),
        ("streams_per_connection_max", sound.streams_per_connection_max(1025)),
        ("bytes_in_flight_max", sound.bytes_in_flight_max(0)),
        ("requests_per_second_max", sound.requests_per_second_max(0)),
        ("strangers_per_second_max", sound.strangers_per_second_max(0)),
        ("slow_reader_timeout", sound.slow_reader_timeout(Duration::ZERO)),
    ] {
        let Err(crate::Error::Configuration { option: "network_limits", reason }) = limits.check() else {
            panic!("{name} is taken")
        };
        assert!(reason.contains(name), "{reason}");
    }
}
