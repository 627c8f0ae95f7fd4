//! Many round trips at once: each comes back. How many a second is printed and never asserted:
//! `NETABASE_ROUND_TRIPS=200000 cargo test --release -p netabase --all-features --lib speed -- --nocapture`.

use std::time::Instant;

use futures::{StreamExt, stream::FuturesUnordered};

use super::*;

/// Both nodes on one thread, as two halves of the work of a node that talks to a peer.
async fn measure(listen: &str, payload_bytes: usize, in_flight: usize, messages: usize) {
    let (a, b) = pair(listen).await;
    let to = b.peer_id();
    let _b = b.echo();
    let payload = Bytes::from(vec![7; payload_bytes]);
    let ask = || a.ask(to, payload.clone());
    for _ in 0..messages.min(1000) {
        ask().await.unwrap();
    }
    let start = Instant::now();
    let mut pending: FuturesUnordered<_> = (0..in_flight).map(|_| ask()).collect();
    for _ in 0..messages {
        let answer = pending.next().await.expect("one is always pending").unwrap();
        assert_eq!(answer.len(), payload_bytes, "it is an echo");
        pending.push(ask());
    }
    let took = start.elapsed();
    println!(
        "{listen} {payload_bytes:>6} B, {in_flight:>3} in flight: {:>9.0} round trips/s, {:>7.1} us each, {:>7.1} MiB/s",
        messages as f64 / took.as_secs_f64(),
        took.as_secs_f64() * 1e6 * in_flight as f64 / messages as f64,
        (messages * payload_bytes) as f64 / took.as_secs_f64() / f64::from(1 << 20),
    );
}

#[tokio::test]
async fn round_trips_come_back() {
    let most = std::env::var("NETABASE_ROUND_TRIPS").ok().and_then(|most| most.parse().ok()).unwrap_or(500);
    for listen in [TCP, QUIC] {
        measure(listen, 64, 1, most / 20).await;
        measure(listen, 64, 16, most / 4).await;
        measure(listen, 64, 64, most).await;
        measure(listen, 64, 256, most).await;
        measure(listen, 256 << 10, 16, most / 100).await;
    }
}
