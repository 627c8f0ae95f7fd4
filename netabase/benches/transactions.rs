//! How many transactions a second, when callers stay out of each other's way and when they do not?
//!
//! Three nodes in this process, over loopback TCP. Each transaction reads two accounts and writes both: apart, every
//! caller has two of its own; contended, all callers share ten. What is counted is what committed; a run that met a
//! conflict is part of its transaction's time. Beside them, what two single writes cost. Run it with
//! `cargo bench -p netabase --bench transactions -- [--nodes N] [--seconds S] [--dir DIR] [CALLERS …]`.

mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster::{Plan, Times};
use netabase::Tx;
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

const SHARED: u64 = 10;

#[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
    balance: i64,
}

async fn transfer(db: &Netabase<Account>, from: u64, to: u64, runs: &AtomicU64) {
    let done = db.transaction(async |tx: Tx<Account>| {
        runs.fetch_add(1, Ordering::Relaxed);
        for (id, amount) in [(from, -1), (to, 1)] {
            let balance = tx.get_record::<Account>(id).await?.map_or(0, |account| account.balance);
            tx.put_record(Account { id, balance: balance + amount })?;
        }
        Ok(())
    });
    match done.await {
        Ok(_) | Err(Error::Conflict) => {}
        Err(other) => panic!("{other}"),
    }
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let plan = Plan::from_arguments(&[1, 16, 64, 256]);
    let nodes = cluster::start::<Account>(&plan).await?;
    println!("{} nodes, {} s a row, callers at the leader", plan.nodes, plan.seconds);
    println!(" callers            {}  runs each", Times::HEAD);
    for &callers in &plan.numbers {
        for contended in [false, true] {
            let (db, runs) = (nodes[0].clone(), Arc::new(AtomicU64::new(0)));
            let (counted, done) = (Arc::clone(&runs), Arc::new(AtomicU64::new(0)));
            let finished = Arc::clone(&done);
            let times = cluster::load(callers, plan.time(), move |caller, n| {
                let (db, runs, done) = (db.clone(), Arc::clone(&runs), Arc::clone(&done));
                async move {
                    let place = caller.wrapping_mul(7).wrapping_add(n.wrapping_mul(3));
                    let (from, to) = if contended {
                        (place % SHARED, (place + 1 + n % (SHARED - 1)) % SHARED)
                    } else {
                        (1_000 + 2 * caller, 1_001 + 2 * caller)
                    };
                    transfer(&db, from, to, &runs).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
            let times = times.await;
            let each = counted.load(Ordering::Relaxed) as f64 / finished.load(Ordering::Relaxed).max(1) as f64;
            println!("{callers:>8} {:>10} {times} {each:>10.2}", if contended { "contended" } else { "apart" });
        }
        let db = nodes[0].clone();
        let times = cluster::load(callers, plan.time(), move |caller, n| {
            let db = db.clone();
            async move {
                for id in [1_000 + 2 * caller, 1_001 + 2 * caller] {
                    db.put_record(Account { id, balance: n as i64 }).await.expect("a write succeeds");
                }
            }
        });
        println!("{callers:>8} {:>10} {}", "two writes", times.await);
    }
    for node in nodes {
        node.shutdown().await?;
    }
    Ok(())
}
