//! What do watchers cost the writers?
//!
//! Writes as in `durable_writes`, by 64 callers at the leader, while so many watch there, each an index key of its own:
//! one of them matches each write, and all that is written is seen. Every watcher is a task on the machine of the nodes and
//! callers. The numbers of watchers take turns, so that the machine's moods meet all of them. Run it with
//! `cargo bench -p netabase --bench watch_fan_out -- [--nodes N] [--seconds S] [--dir DIR] [WATCHERS …]`.

mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster::{Plan, Times};
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

const VALUE_BYTES: usize = 256;
const CALLERS: usize = 64;

#[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
struct Blob {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    topic: u64,
    value: Vec<u8>,
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let plan = Plan::from_arguments(&[0, 1, 1_000, 0, 1, 1_000, 0, 1, 1_000]);
    let nodes = cluster::start::<Blob>(&plan).await?;
    println!("{} nodes, {VALUE_BYTES}-byte values, {CALLERS} callers, {} s a row", plan.nodes, plan.seconds);
    println!("watchers{}       seen", Times::HEAD);
    for (row, &watchers) in (0..).zip(&plan.numbers) {
        let leader = nodes[0].clone();
        let written = Arc::new(AtomicU64::new(0));
        let mut readers = Vec::new();
        for topic in 0..watchers as u64 {
            let mut changes = leader.watch(Blob::by_topic(topic)).await?;
            readers.push(tokio::spawn(async move {
                let mut seen = 0_u64;
                while let Some(Ok(Change::Put { record, .. })) = changes.next().await {
                    // A last record with another value tells it to stop.
                    if record.value.is_empty() {
                        break;
                    }
                    seen += 1;
                }
                seen
            }));
        }
        let topics = watchers.max(1) as u64;
        let (writer, counter) = (leader.clone(), Arc::clone(&written));
        let times = cluster::load(CALLERS, plan.time(), move |caller, n| {
            let (writer, counter) = (writer.clone(), Arc::clone(&counter));
            async move {
                let topic = counter.fetch_add(1, Ordering::Relaxed) % topics;
                let id = row << 56 | caller << 40 | n;
                let blob = Blob { id, topic, value: vec![n as u8; VALUE_BYTES] };
                writer.put_record(blob).await.expect("a write succeeds");
            }
        });
        let times = times.await;
        let last = |topic| Blob { id: u64::MAX - topic, topic, value: Vec::new() };
        leader.put_records((0..watchers as u64).map(last)).await?;
        let mut seen = 0;
        for reader in readers {
            seen += reader.await.expect("a reader ends");
        }
        let expected = if watchers == 0 { 0 } else { written.load(Ordering::Relaxed) };
        assert_eq!(seen, expected, "every write is seen by the watcher that it matches");
        println!("{watchers:>8}{times} {seen:>10}");
    }
    for node in nodes {
        node.shutdown().await?;
    }
    Ok(())
}
