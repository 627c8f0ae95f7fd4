//! Figures, printed and never asserted: `cargo test --release -p netabase speed -- --nocapture --ignored`.

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
    for _ in 0..1000 {
        ask().await.unwrap();
    }
    let start = Instant::now();
    let mut pending: FuturesUnordered<_> = (0..in_flight).map(|_| ask()).collect();
    for _ in 0..messages {
        pending.next().await.expect("one is always pending").unwrap();
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
#[ignore = "a measurement, not a check: cargo test --release -p netabase --all-features --lib speed -- --ignored --nocapture"]
async fn round_trips_a_second() {
    for listen in [TCP, QUIC] {
        measure(listen, 64, 1, 10_000).await;
        measure(listen, 64, 16, 50_000).await;
        measure(listen, 64, 64, 200_000).await;
        measure(listen, 64, 256, 200_000).await;
        measure(listen, 256 << 10, 16, 2_000).await;
    }
}
