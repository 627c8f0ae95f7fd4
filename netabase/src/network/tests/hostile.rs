//! Strangers, and members that break the protocol: refused, cut off, survived.

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::multiaddr::Protocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    raw::{Raw, RawEvent},
    *,
};
use crate::network::{
    limits::UNANSWERED_MAX,
    protocol::{COUNTED_BYTES, KIND_REFUSED, KIND_REQUEST, KIND_RESPONSE},
};

/// A node whose one other voter is a raw peer, and that raw peer, which dials.
async fn besieged() -> (Node, Raw, Keypair) {
    let (keypair, voter) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let node = started(&keypair, &[TCP], &[(voter.public().to_peer_id(), Vec::new())]).await;
    let raw = Raw::start(&voter, node.network.listen_addresses().pop()).await;
    (node, raw, voter)
}

pub(super) fn frame(kind: u8, id: u64, payload: &[u8]) -> Vec<u8> {
    let counted = (payload.len() + COUNTED_BYTES) as u32;
    [&counted.to_be_bytes()[..], &id.to_be_bytes(), &[kind], payload].concat()
}

/// The node still serves the voter, over a new connection.
async fn serves(node: &mut Node, voter: &Keypair) {
    let mut raw = Raw::start(voter, node.network.listen_addresses().pop()).await;
    let mut stream = raw.opened().await;
    stream.write_all(&frame(KIND_REQUEST, 7, b"still there?")).await.unwrap();
    stream.flush().await.unwrap();
    let request = node.next_request().await;
    assert_eq!(request.payload[..], *b"still there?");
    request.reply.send(Bytes::from_static(b"yes"));
    let mut answer = vec![0; frame(KIND_RESPONSE, 7, b"yes").len()];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, frame(KIND_RESPONSE, 7, b"yes"));
}

#[tokio::test]
async fn a_stranger_is_closed_after_the_handshake_and_reaches_nothing() {
    let (mut node, _voter, _) = besieged().await;
    for count in 1..=3 {
        let stranger = Keypair::generate_ed25519();
        let mut raw = Raw::start(&stranger, node.network.listen_addresses().pop()).await;
        loop {
            match raw.next().await {
                RawEvent::Closed => break,
                RawEvent::Connected | RawEvent::Unopened => {}
                RawEvent::Opened(mut stream) => {
                    // Negotiation may be lazy; what counts is that nothing arrives.
                    let _ = stream.write_all(&frame(KIND_REQUEST, 1, b"let me in")).await;
                    let _ = stream.flush().await;
                }
                RawEvent::Accepted(_) => panic!("the node opened a substream to a stranger"),
            }
        }
        assert_eq!(node.network.refusals().all().strangers, count);
        assert!(!node.network.is_connected(raw.peer_id));
        assert_eq!(node.ask(raw.peer_id, Bytes::new()).await, Err(RequestError::NotConnected));
    }
    while let Ok(event) = node.events.try_recv() {
        assert!(!matches!(event, NetworkEvent::Request(_)), "{event:?}");
    }
}

#[tokio::test]
async fn who_breaks_the_protocol_is_closed_and_the_node_goes_on() {
    let limit = NetworkLimits::default().paxos_bytes_max;
    let announced = |bytes: usize| {
        let mut frame = frame(KIND_REQUEST, 1, b"");
        frame[..4].copy_from_slice(&((bytes + COUNTED_BYTES) as u32).to_be_bytes());
        frame
    };
    for (what, bytes) in [
        ("a length just over the limit", announced(limit + 1)),
        ("the greatest length", vec![0xff; 64]),
        ("a length less than the header", [&[0, 0, 0, 0][..], &[1; 9]].concat()),
        ("an unknown kind", frame(0xee, 1, b"")),
        ("an answer where requests belong", frame(KIND_RESPONSE, 1, b"forged")),
        ("a refusal where requests belong", frame(KIND_REFUSED, 1, b"forged")),
        ("text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ] {
        let (mut node, mut raw, voter) = besieged().await;
        let mut stream = raw.opened().await;
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        println!("{what}");
        raw.closed().await;
        serves(&mut node, &voter).await;
    }
}

#[tokio::test]
async fn a_truncated_frame_is_never_delivered() {
    let (mut node, mut raw, voter) = besieged().await;
    let mut stream = raw.opened().await;
    let whole = frame(KIND_REQUEST, 1, &[9; 100]);
    stream.write_all(&whole[..60]).await.unwrap();
    stream.close().await.unwrap();
    raw.closed().await;
    serves(&mut node, &voter).await;
}

#[tokio::test]
async fn a_frame_that_trickles_in_or_stalls_holds_up_nobody_else() {
    let (keypair, slow) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let good = Keypair::generate_ed25519();
    let voters = [&slow, &good].map(|voter| (voter.public().to_peer_id(), Vec::new()));
    let mut node = started(&keypair, &[TCP], &voters).await;
    let address = node.network.listen_addresses();
    let mut raw = Raw::start(&slow, address.first().cloned()).await;
    let mut stream = raw.opened().await;
    let mut large = frame(KIND_REQUEST, 1, &[]);
    large[..4].copy_from_slice(&(50_u32 << 20).to_be_bytes());
    stream.write_all(&large).await.unwrap();
    stream.write_all(&[1; 100]).await.unwrap();
    stream.flush().await.unwrap();
    node.wait_until(raw.peer_id, true).await;
    let mut good = started(&good, &[], &[(node.peer_id(), address)]).await;
    good.wait_until(node.peer_id(), true).await;
    let asked = good.ask(node.peer_id(), Bytes::from_static(b"x"));
    let request = node.next_request().await;
    assert_eq!(request.from, good.peer_id());
    request.reply.send(Bytes::new());
    assert_eq!(within(asked).await, Ok(Bytes::new()));
}

#[tokio::test]
async fn answers_that_nobody_asked_for_or_that_come_twice_are_ignored() {
    let (mut node, mut raw, _) = besieged().await;
    let _ours = raw.opened().await;
    node.wait_until(raw.peer_id, true).await;
    let first = node.ask(raw.peer_id, Bytes::from_static(b"one"));
    let mut stream = raw.accepted().await;
    let mut request = vec![0; frame(KIND_REQUEST, 1, b"one").len()];
    within(stream.read_exact(&mut request)).await.unwrap();
    assert_eq!(request, frame(KIND_REQUEST, 1, b"one"));
    for (kind, id) in [(KIND_RESPONSE, 99), (KIND_REFUSED, u64::MAX), (KIND_RESPONSE, 2)] {
        stream.write_all(&frame(kind, id, b"unasked")).await.unwrap();
    }
    stream.write_all(&frame(KIND_RESPONSE, 1, b"first")).await.unwrap();
    stream.write_all(&frame(KIND_RESPONSE, 1, b"second")).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(within(first).await, Ok(Bytes::from_static(b"first")));
    let second = node.ask(raw.peer_id, Bytes::from_static(b"two"));
    within(stream.read_exact(&mut request)).await.unwrap();
    stream.write_all(&frame(KIND_RESPONSE, 2, b"asked")).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(within(second).await, Ok(Bytes::from_static(b"asked")));
    // A request where answers belong ends it.
    stream.write_all(&frame(KIND_REQUEST, 3, b"")).await.unwrap();
    stream.flush().await.unwrap();
    raw.closed().await;
}

/// A voter that floods with requests and never reads an answer: the node takes a bounded number of them,
/// then stops reading; what the node sends it ends in timeouts or `QueueFull`, and others are served.
#[tokio::test]
async fn a_peer_that_never_reads_costs_a_bounded_amount() {
    let (mut node, mut raw, _voter) = besieged().await;
    let mut stream = raw.opened().await;
    let flood = tokio::spawn(async move {
        let request = frame(KIND_REQUEST, 1, &[0; 64]);
        while stream.write_all(&request).await.is_ok() {}
    });
    let mut held = Vec::new();
    while held.len() < UNANSWERED_MAX {
        held.push(node.next_request().await);
    }
    // No event can tell that nothing more will come; a short wait can only err towards passing.
    let more = tokio::time::timeout(Duration::from_millis(100), node.next_request()).await;
    assert!(more.is_err(), "more than {UNANSWERED_MAX} requests of one peer were let in");
    // Answer 64 KiB each: they fill the stream, which nobody reads, and then count against the peer.
    let mut answered = 0;
    for request in held.drain(..) {
        request.reply.send(vec![0; 64 << 10].into());
    }
    while let Ok(request) = tokio::time::timeout(Duration::from_millis(100), node.next_request()).await {
        answered += 1;
        assert!(answered < 2 * UNANSWERED_MAX, "the peer gets work done without reading");
        request.reply.send(vec![0; 64 << 10].into());
    }
    let short = Duration::from_millis(50);
    let mut full = false;
    let payload = Bytes::from(vec![0; 8 << 20]);
    for _ in 0..40 {
        match node.network.request(raw.peer_id, Channel::Paxos, payload.clone(), short).await {
            Err(RequestError::QueueFull) => full = true,
            Err(RequestError::Timeout) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(full, "the queue to a peer that does not read has no bound");
    flood.abort();
}

#[tokio::test]
async fn garbage_on_the_bare_socket_kills_nothing() {
    let (mut node, raw, voter) = besieged().await;
    let address = node.network.listen_addresses().remove(0);
    let port = address.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    let port = port.expect("a TCP address");
    for garbage in [
        vec![0; 100_000],
        vec![0xff; 100_000],
        b"\x13/multistream/1.0.0\n\xff\xff\xff\xff\xff".to_vec(),
        b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff".to_vec(),
        b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n\x16\x03\x01\xff\xff".to_vec(),
        (0..50_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
        Vec::new(),
    ] {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = socket.write_all(&garbage).await;
        let _ = socket.shutdown().await;
        let mut sink = Vec::new();
        let _ = within(socket.read_to_end(&mut sink)).await;
    }
    drop(raw);
    serves(&mut node, &voter).await;
}
