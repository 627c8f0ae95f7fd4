//! Requests and answers between nodes that behave.

use super::*;

async fn all_channels(listen: &str) {
    let (a, mut b) = pair(listen).await;
    // Both directions over the one connection that there is.
    for channel in Channel::ALL {
        for size in [0, 1, 20_000, a_size(channel)] {
            let payload = Bytes::from(vec![size as u8; size]);
            let asked = tokio::spawn(a.network.request(b.peer_id(), channel, payload.clone(), TIMEOUT));
            let request = b.next_request().await;
            assert_eq!((request.from, request.channel, &request.payload), (a.peer_id(), channel, &payload));
            request.reply.send(payload.clone());
            assert_eq!(asked.await.unwrap(), Ok(payload));
        }
    }
    let a_id = a.peer_id();
    let echo = a.echo();
    assert_eq!(b.ask(a_id, Bytes::from_static(b"back")).await, Ok(Bytes::from_static(b"back")));
    drop(echo);
}

/// The greatest that the channel carries, or a few megabytes.
fn a_size(channel: Channel) -> usize {
    NetworkLimits::default().payload_bytes_max(channel).min(3 << 20)
}

#[tokio::test]
async fn over_tcp_on_all_channels() {
    all_channels(TCP).await;
}

#[tokio::test]
async fn over_quic_on_all_channels() {
    all_channels(QUIC).await;
}

#[tokio::test]
async fn both_kinds_of_sockets_listen_at_once() {
    let (a, b) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let peers = [(b.public().to_peer_id(), Vec::new())];
    let a = started(&a, &[TCP, QUIC, "/ip6/::1/tcp/0"], &peers).await;
    for address in a.network.listen_addresses() {
        let mut b = started(&b, &[], &[(a.peer_id(), vec![address])]).await;
        b.wait_until(a.peer_id(), true).await;
    }
    assert_eq!(a.network.listen_addresses().len(), 3);
}

#[tokio::test]
async fn answers_find_their_requests_in_any_order() {
    let (a, mut b) = pair(TCP).await;
    let asked: Vec<_> = (0..200_u8).map(|i| tokio::spawn(a.ask(b.peer_id(), vec![i].into()))).collect();
    let mut requests = Vec::new();
    for i in 0..200_u8 {
        let request = b.next_request().await;
        assert_eq!(request.payload[..], [i], "requests come in the order in which they were made");
        requests.push(request);
    }
    for request in requests.into_iter().rev() {
        request.reply.send(request.payload);
    }
    for (i, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.await.unwrap().unwrap()[..], [i as u8]);
    }
}

#[tokio::test]
async fn refusals_and_dropped_requests_say_so() {
    let (a, mut b) = pair(TCP).await;
    let asked = a.ask(b.peer_id(), Bytes::new());
    b.next_request().await.reply.refuse("ä".repeat(2000));
    let Err(RequestError::Refused(reason)) = asked.await else { panic!("not refused") };
    assert_eq!(reason, "ä".repeat(512), "cut to the limit, at a character");
    let asked = a.ask(b.peer_id(), Bytes::new());
    drop(b.next_request().await);
    assert!(matches!(asked.await, Err(RequestError::Refused(_))));
}

#[tokio::test]
async fn too_large_is_refused_on_both_sides_and_nothing_breaks() {
    let limits = NetworkLimits { paxos_bytes_max: 1000, ..NetworkLimits::default() };
    let (a, mut b) = pair_with(TCP, limits).await;
    let error = RequestError::TooLarge { bytes: 1001, bytes_max: 1000 };
    assert_eq!(a.ask(b.peer_id(), vec![0; 1001].into()).await, Err(error));
    let asked = a.ask(b.peer_id(), vec![0; 1000].into());
    b.next_request().await.reply.send(vec![0; 1001].into());
    let Err(RequestError::Refused(reason)) = asked.await else { panic!("not refused") };
    assert!(reason.contains("1001"), "{reason}");
    let asked = a.ask(b.peer_id(), Bytes::new());
    b.next_request().await.reply.send(vec![0; 1000].into());
    assert_eq!(asked.await.unwrap().len(), 1000);
}

#[tokio::test]
async fn a_request_without_an_answer_times_out_and_its_late_answer_is_ignored() {
    let (a, mut b) = pair(TCP).await;
    let short = Duration::from_millis(20);
    let asked = a.network.request(b.peer_id(), Channel::Paxos, Bytes::new(), short);
    let late = b.next_request().await;
    assert_eq!(asked.await, Err(RequestError::Timeout));
    late.reply.send(Bytes::from_static(b"late"));
    let asked = a.ask(b.peer_id(), Bytes::new());
    b.next_request().await.reply.send(Bytes::from_static(b"in time"));
    assert_eq!(asked.await, Ok(Bytes::from_static(b"in time")));
}

#[tokio::test]
async fn nobody_is_reached_who_is_not_there() {
    let (a, _b) = pair(TCP).await;
    for peer in [a.peer_id(), PeerId::random()] {
        assert_eq!(a.ask(peer, Bytes::new()).await, Err(RequestError::NotConnected));
        assert!(!a.network.is_connected(peer));
    }
}
