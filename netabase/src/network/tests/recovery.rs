//! Nodes that crash, come back, or find their port taken.

use super::*;

#[tokio::test]
async fn a_peer_that_restarts_on_its_port_is_found_again() {
    let (a, b) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (a_id, b_id) = (a.public().to_peer_id(), b.public().to_peer_id());
    // Only the survivor dials, so that it is its redialling that is tested.
    let mut first = started(&a, &[TCP], &[(b_id, Vec::new())]).await;
    let addresses = first.network.listen_addresses();
    let mut b = started(&b, &[], &[(a_id, addresses.clone())]).await;
    for _ in 0..2 {
        first.wait_until(b_id, true).await;
        b.wait_until(a_id, true).await;
        let unanswered = b.ask(a_id, Bytes::new());
        let _request = first.next_request().await;
        first.crash().await;
        assert_eq!(within(unanswered).await, Err(RequestError::ConnectionLost));
        b.wait_until(a_id, false).await;
        assert_eq!(b.ask(a_id, Bytes::new()).await, Err(RequestError::NotConnected));
        let listen = addresses[0].to_string();
        first = started(&a, &[&listen], &[(b_id, Vec::new())]).await;
        assert_eq!(first.network.listen_addresses(), addresses);
    }
    b.wait_until(a_id, true).await;
}

#[tokio::test]
async fn both_sides_may_dial_and_one_of_several_connections_is_enough() {
    let (a, b) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (a_id, b_id) = (a.public().to_peer_id(), b.public().to_peer_id());
    // Ports are given by the system, so the first node learns the second's only after a restart.
    let first = started(&a, &[TCP], &[]).await;
    let a_at = first.network.listen_addresses();
    first.crash().await;
    let b_node = started(&b, &[TCP], &[]).await;
    let b_at = b_node.network.listen_addresses();
    b_node.crash().await;
    let (a_listen, b_listen) = (a_at[0].to_string(), b_at[0].to_string());
    let mut b = started(&b, &[&b_listen], &[(a_id, a_at)]).await;
    let mut a = started(&a, &[&a_listen], &[(b_id, b_at)]).await;
    a.wait_until(b_id, true).await;
    b.wait_until(a_id, true).await;
    let b = b.echo();
    for i in 0..50_u8 {
        assert_eq!(within(a.ask(b_id, vec![i].into())).await, Ok(vec![i].into()));
    }
    assert!(b.network.is_connected(a_id));
}

#[tokio::test]
async fn a_used_port_is_named_with_the_way_out() {
    let keypair = Keypair::generate_ed25519();
    let other = started(&keypair, &[TCP, QUIC], &[]).await;
    for address in other.network.listen_addresses() {
        let error = try_start(&keypair, &[&address.to_string()], &[], NetworkLimits::default()).await.err();
        let Some(crate::Error::Configuration { option: "listen", reason }) = error else { panic!("{error:?}") };
        assert!(reason.contains(&address.to_string()) && reason.contains("in use"), "{reason}");
    }
    for address in ["/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/0", "/dns/localhost/tcp/0", "/ip4/203.0.113.1/tcp/0"] {
        let error = try_start(&keypair, &[address], &[], NetworkLimits::default()).await.err();
        let Some(crate::Error::Configuration { option: "listen", reason }) = error else { panic!("{error:?}") };
        assert!(reason.contains(address), "{reason}");
    }
}

#[tokio::test]
async fn the_driver_ends_with_its_receiver_and_frees_the_port() {
    let keypair = Keypair::generate_ed25519();
    let (network, events, driver) = start(NetworkConfig {
        keypair: keypair.clone(),
        listen: vec![TCP.parse().unwrap()],
        peers: Vec::new(),
        limits: NetworkLimits::default(),
        sockets: Sockets::System,
    })
    .await
    .unwrap();
    let address = network.listen_addresses()[0].to_string();
    drop(events);
    within(driver).await;
    started(&keypair, &[&address], &[]).await;
}
