//! What does it cost that a read misses nothing?
//!
//! Three nodes in this process, over loopback TCP, 10,000 records of 256 bytes, random point reads: linearizable ones at
//! the leader and at a follower, local ones, and gets of the same bytes from a bare redb file, all in one run. The callers
//! share the machine with the nodes. Run it with
//! `cargo bench -p netabase --bench linearizable_reads -- [--nodes N] [--seconds S] [--dir DIR] [CALLERS …]`.

mod cluster;

use std::sync::Arc;

use cluster::{Plan, Times};
use netabase::prelude::*;
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

const VALUE_BYTES: usize = 256;
const RECORDS: u64 = 10_000;
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blobs");

#[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
struct Blob {
    #[netabase(key)]
    id: u64,
    value: Vec<u8>,
}

/// The same records for every caller, in an order of its own (Steele, Lea and Flood 2014).
fn pick(caller: u64, n: u64) -> u64 {
    let mut mixed = (caller << 40).wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) % RECORDS
}

fn bare_redb(plan: &Plan) -> Database {
    let database = Database::create(plan.dir().join("bare.redb")).expect("a file can be made");
    let transaction = database.begin_write().expect("it writes");
    {
        let mut table = transaction.open_table(TABLE).expect("a table can be made");
        for id in 0..RECORDS {
            table.insert(id, [id as u8; VALUE_BYTES].as_slice()).expect("it writes");
        }
    }
    transaction.commit().expect("it commits");
    database
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let plan = Plan::from_arguments(&[1, 16, 64, 256]);
    let nodes = cluster::start::<Blob>(&plan).await?;
    nodes[0].put_records((0..RECORDS).map(|id| Blob { id, value: vec![id as u8; VALUE_BYTES] })).await?;
    let bare = Arc::new(bare_redb(&plan));
    println!("{} nodes, {RECORDS} records of {VALUE_BYTES} bytes, {} s a row", plan.nodes, plan.seconds);
    println!(" callers                {}", Times::HEAD);
    for &callers in &plan.numbers {
        for (place, node) in [("leader", &nodes[0]), ("follower", &nodes[nodes.len() - 1])] {
            let reads = node.linearizable();
            let times = cluster::load(callers, plan.time(), move |caller, n| {
                let reads = reads.clone();
                async move {
                    let found = reads.get_record::<Blob>(pick(caller, n)).await.expect("a read succeeds");
                    assert!(found.is_some());
                }
            });
            println!("{callers:>8} {place:>14} {}", times.await);
        }
        let db = nodes[0].clone();
        let times = cluster::load(callers, plan.time(), move |caller, n| {
            let db = db.clone();
            async move {
                assert!(db.get_record::<Blob>(pick(caller, n)).await.expect("a read succeeds").is_some());
                // A local read never waits: the others would not get their turn.
                tokio::task::yield_now().await;
            }
        });
        println!("{callers:>8} {:>14} {}", "local", times.await);
        let database = Arc::clone(&bare);
        let times = cluster::load(callers, plan.time(), move |caller, n| {
            let database = Arc::clone(&database);
            async move {
                let transaction = database.begin_read().expect("it reads");
                let table = transaction.open_table(TABLE).expect("the table is there");
                let found = table.get(pick(caller, n)).expect("it reads").map(|value| value.value().to_vec());
                assert!(found.is_some());
                tokio::task::yield_now().await;
            }
        });
        println!("{callers:>8} {:>14} {}", "bare redb", times.await);
    }
    for node in nodes {
        node.shutdown().await?;
    }
    Ok(())
}
