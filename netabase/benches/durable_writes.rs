//! How many durable writes a second do three nodes take, and how long does each?
//!
//! Three nodes in this process, over loopback TCP, each with a directory of its own; 256-byte values; every write synced
//! by a quorum before it is acknowledged. The callers share the machine with the nodes. Run it with
//! `cargo bench -p netabase --bench durable_writes -- [--nodes N] [--seconds S] [--dir DIR] [CALLERS …]`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netabase::prelude::*;
use netabase::{Identity, Status};
use serde::{Deserialize, Serialize};

const VALUE_BYTES: usize = 256;

#[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
struct Blob {
    #[netabase(key)]
    id: u64,
    value: Vec<u8>,
}

struct Plan {
    nodes: usize,
    seconds: u64,
    dir: Option<PathBuf>,
    callers: Vec<usize>,
}

fn plan() -> Plan {
    let mut plan = Plan { nodes: 3, seconds: 5, dir: None, callers: Vec::new() };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok());
        match word.as_str() {
            "--nodes" => plan.nodes = number().unwrap_or(3),
            "--seconds" => plan.seconds = number().unwrap_or(5) as u64,
            "--dir" => plan.dir = words.next().map(PathBuf::from),
            other => plan.callers.extend(other.parse::<usize>().ok()),
        }
    }
    if plan.callers.is_empty() {
        plan.callers = vec![1, 16, 64, 256];
    }
    plan
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let plan = plan();
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let dir = plan.dir.clone().unwrap_or_else(|| scratch.path().to_owned());
    let nodes = start(&dir, plan.nodes).await?;
    let leader = leader(&nodes).await?;
    println!("{} nodes, {VALUE_BYTES}-byte values, {} s a row, callers at the leader", plan.nodes, plan.seconds);
    println!("{:>8} {:>12} {:>10} {:>10} {:>10}", "callers", "writes/s", "p50 ms", "p99 ms", "max ms");
    for callers in plan.callers {
        let mut times = load(&nodes[leader], callers, Duration::from_secs(plan.seconds)).await;
        times.sort_unstable();
        let at =
            |part: f64| times.get((times.len() as f64 * part) as usize).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let rate = times.len() as f64 / plan.seconds as f64;
        let max = times.last().map_or(0.0, |time| time.as_secs_f64() * 1e3);
        println!("{callers:>8} {rate:>12.0} {:>10.2} {:>10.2} {max:>10.2}", at(0.5), at(0.99));
    }
    for node in nodes {
        node.shutdown().await?;
    }
    Ok(())
}

async fn start(dir: &Path, nodes: usize) -> netabase::Result<Vec<Netabase<Blob>>> {
    let mut founders = Vec::new();
    let mut places = Vec::new();
    for node in 0..nodes {
        let place = dir.join(node.to_string());
        std::fs::create_dir_all(&place).expect("a directory can be made");
        let identity = Identity::load_or_create(&place)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let listen = format!("/ip4/127.0.0.1/tcp/{}", port.expect("a port is free").port());
        founders.push(format!("{listen}/p2p/{}", identity.peer_id()));
        places.push((place, listen));
    }
    let mut started = Vec::new();
    for (place, listen) in places {
        started.push(Netabase::<Blob>::start().data_dir(place).listen(listen).founders(&founders).await?);
    }
    Ok(started)
}

async fn leader(nodes: &[Netabase<Blob>]) -> netabase::Result<usize> {
    loop {
        for (place, node) in nodes.iter().enumerate() {
            let Status { leader, peer_id, .. } = node.status().await?;
            if leader == Some(peer_id) {
                return Ok(place);
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Each caller writes one record after the other; how long each write took.
async fn load(node: &Netabase<Blob>, callers: usize, time: Duration) -> Vec<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..callers as u64)
        .map(|caller| {
            let (node, stop) = (node.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut id = caller << 40;
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    node.put_record(Blob { id, value: vec![id as u8; VALUE_BYTES] }).await.expect("a write succeeds");
                    times.push(started.elapsed());
                    id += 1;
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a caller ends"));
    }
    times
}
