//! Random faults over random writes, on disks that forget what was not synced: crashes of one node and of all, torn
//! writes, partitions, loss and delay. What was acknowledged is on every node, and no two nodes differ.
//!
//! `NETABASE_SEED` repeats one seed, `NETABASE_FAULT_SEEDS` (3) sets how many are tried.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netabase::testing::{Cluster, Unsynced};
use netabase::{Error, Tuning};
use netabase_tests::{Note, Random, until_taken};
use tokio::task::JoinSet;

const NODES: usize = 3;
const CALLERS: u64 = 6;
const ROUNDS: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_power_cuts_and_partitions() -> netabase::Result<()> {
    let seeds = std::env::var("NETABASE_FAULT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3);
    let (first, _) = Random::from_environment();
    for seed in (0..seeds).map(|n| first.wrapping_add(n)) {
        println!("seed {seed}");
        let tuning = Tuning::default().request_timeout(Duration::from_secs(5));
        let mut run = Run {
            random: Random::new(seed),
            cluster: Cluster::start(NODES).seed(seed).tuning(tuning).await?,
            acknowledged: Arc::default(),
        };
        for round in 0..ROUNDS {
            let fault = run.round(round).await?;
            run.check(&format!("seed {seed}, round {round}, {fault}")).await?;
        }
        run.cluster.shutdown().await?;
    }
    Ok(())
}

struct Run {
    random: Random,
    cluster: Cluster<Note>,
    acknowledged: Arc<Mutex<BTreeSet<u64>>>,
}

impl Run {
    /// Writes on every node while something goes wrong, then mends everything.
    async fn round(&mut self, round: u64) -> netabase::Result<&'static str> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = self.write(round, &stop);
        self.pass(100, 300).await;
        let fault = self.fault().await?;
        self.pass(0, 400).await;
        if self.random.below(2) == 0 {
            self.restart_all().await?;
            self.pass(0, 300).await;
        }
        stop.store(true, Ordering::Relaxed);
        self.cluster.heal();
        self.cluster.lose_messages(0);
        self.cluster.delay_messages(Duration::ZERO..Duration::ZERO);
        self.restart_all().await?;
        while callers.join_next().await.is_some() {}
        Ok(fault)
    }

    fn write(&self, round: u64, stop: &Arc<AtomicBool>) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let db = self.cluster.node((caller % NODES as u64) as usize);
            let (stop, acknowledged) = (Arc::clone(stop), Arc::clone(&self.acknowledged));
            let mut id = (round * CALLERS + caller) << 32;
            callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match db.put_record(Note::of(id)).await {
                        Ok(_) => {
                            acknowledged.lock().expect("no caller panics").insert(id);
                        }
                        // The node is gone; its disk refused; or there is no quorum: a caller would back off.
                        Err(Error::ShutDown | Error::Storage { .. } | Error::ConnectionLost) => return,
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                    id += 1;
                }
            });
        }
        callers
    }

    async fn fault(&mut self) -> netabase::Result<&'static str> {
        let node = self.random.below(NODES as u64) as usize;
        let torn = Unsynced::Torn { seed: self.random.next_number() };
        Ok(match self.random.below(7) {
            0 => {
                self.cluster.crash_leaving(node, torn).await;
                "a power cut of one node"
            }
            1 => {
                let leader = self.cluster.leader().await?;
                self.cluster.crash(leader).await;
                "a power cut of the leader"
            }
            2 => {
                self.cluster.crash_all(torn).await;
                "a power cut of all nodes"
            }
            3 => {
                self.cluster.partition([&[node], &[(node + 1) % NODES, (node + 2) % NODES]]);
                "a partition"
            }
            4 => {
                self.cluster.lose_messages(20 + self.random.below(100));
                "loss"
            }
            5 => {
                self.cluster.delay_messages(Duration::ZERO..Duration::from_millis(20));
                "delay"
            }
            _ => {
                self.cluster.crash_all(Unsynced::Kept).await;
                "a kill of all nodes"
            }
        })
    }

    async fn restart_all(&mut self) -> netabase::Result<()> {
        for node in 0..NODES {
            self.cluster.restart(node).await?;
        }
        Ok(())
    }

    async fn check(&self, when: &str) -> netabase::Result<()> {
        let probe = until_taken(&self.cluster.node(0), u64::MAX).await;
        assert!(probe.is_ok(), "{when}: a write after everything was mended: {probe:?}");
        self.cluster.converged().await?;
        let acknowledged = self.acknowledged.lock().expect("no caller panics").clone();
        for node in 0..NODES {
            let db = self.cluster.node(node);
            for &id in &acknowledged {
                let found = db.get_record::<Note>(id).await?;
                assert_eq!(found, Some(Note::of(id)), "{when}: on node {node}");
            }
            assert!(db.status().await?.keeper_restarts == 0, "{when}: node {node} woke its keeper again");
        }
        println!("{when}: {} acknowledged, none missing", acknowledged.len());
        Ok(())
    }

    /// Lets time pass: what happens meanwhile is what is tested, not what is waited for.
    async fn pass(&mut self, from: u64, more: u64) {
        tokio::time::sleep(Duration::from_millis(from + self.random.below(more))).await;
    }
}
