//! How many durable writes a second do three nodes take, and how long does each?
//!
//! Three nodes in this process, over loopback TCP, each with a directory of its own; 256-byte values; every write synced
//! by a quorum before it is acknowledged. The callers share the machine with the nodes. Run it with
//! `cargo bench -p netabase --bench durable_writes -- [--nodes N] [--seconds S] [--dir DIR] [CALLERS …]`.

mod cluster;

use cluster::{Plan, Times};
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

const VALUE_BYTES: usize = 256;

#[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
struct Blob {
    #[netabase(key)]
    id: u64,
    value: Vec<u8>,
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let plan = Plan::from_arguments(&[1, 16, 64, 256]);
    let nodes = cluster::start::<Blob>(&plan).await?;
    println!("{} nodes, {VALUE_BYTES}-byte values, {} s a row, callers at the leader", plan.nodes, plan.seconds);
    println!(" callers{}", Times::HEAD);
    for &callers in &plan.numbers {
        let leader = nodes[0].clone();
        let times = cluster::load(callers, plan.time(), move |caller, n| {
            let leader = leader.clone();
            async move {
                let blob = Blob { id: caller << 40 | n, value: vec![n as u8; VALUE_BYTES] };
                leader.put_record(blob).await.expect("a write succeeds");
            }
        });
        println!("{callers:>8}{}", times.await);
    }
    for node in nodes {
        node.shutdown().await?;
    }
    Ok(())
}
