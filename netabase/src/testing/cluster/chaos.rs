//! Random faults over random writes: what was acknowledged is there, and no two nodes differ.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::testing::fixture::Item;

struct Random(u64);
impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos() {
    let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).try_init();
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let mut cluster = Cluster::<Item>::start_with(3, seed, Tuning::default().request_timeout(Duration::from_secs(5)), StoreKind::Redb).await.unwrap();
    let acknowledged: Arc<Mutex<BTreeMap<u64, u64>>> = Arc::default();
    let mut next = 0u64;
    for round in 0..rounds {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut writers = Vec::new();
        for writer in 0..6u64 {
            let place = usize::try_from(writer % 3).unwrap();
            if !cluster.is_running(place) { continue; }
            let db = cluster.node(place);
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            let from = next + writer * 1_000_000;
            writers.push(tokio::spawn(async move {
                let mut n = 0;
                let mut errors = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) && errors < 3 {
                    let id = from + n;
                    match db.put_record(Item { id, name: format!("w{writer}") }).await {
                        Ok(_) => { acknowledged.lock().unwrap().insert(id, round); }
                        Err(Error::ShutDown) => break,
                        Err(_) => errors += 1,
                    }
                    n += 1;
                }
                n
            }));
        }
        next += 10_000_000;
        tokio::time::sleep(Duration::from_millis(100 + random.below(300))).await;
        let what = random.below(7);
        match what {
            0 => { let place = usize::try_from(random.below(3)).unwrap(); cluster.crash_leaving(place, Unsynced::Torn { seed: random.next() }).await; }
            1 => { if let Ok(leader) = cluster.leader().await { cluster.crash(leader).await; } }
            2 => cluster.crash_all(Unsynced::Torn { seed: random.next() }).await,
            3 => { let a = usize::try_from(random.below(3)).unwrap(); cluster.partition([&[a], &[(a + 1) % 3, (a + 2) % 3]]); }
            4 => cluster.lose_messages(20 + random.below(100)),
            5 => cluster.delay_messages(Duration::ZERO..Duration::from_millis(20)),
            _ => cluster.crash_all(Unsynced::Kept).await,
        }
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        if random.below(2) == 0 {
            for place in 0..3 { cluster.restart(place).await.unwrap(); }
            tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        cluster.heal();
        cluster.lose_messages(0);
        cluster.delay_messages(Duration::ZERO..Duration::ZERO);
        for place in 0..3 { cluster.restart(place).await.unwrap(); }
        let mut written = 0;
        for writer in writers { written += writer.await.unwrap(); }
        let started = std::time::Instant::now();
        cluster.node(0).put_record(Item { id: next - 1, name: "probe".into() }).await.unwrap_or_else(|e| panic!("seed {seed} round {round} what {what}: probe {e}"));
        let hash = cluster.converged().await.unwrap_or_else(|e| panic!("seed {seed} round {round} what {what}: converged {e}"));
        let acked = acknowledged.lock().unwrap().clone();
        for place in 0..3 {
            let db = cluster.node(place);
            for (id, at) in &acked {
                assert!(db.get_record::<Item>(*id).await.unwrap().is_some(), "seed {seed}: {id} of round {at} is missing on node {place} after round {round} (what {what})");
            }
        }
        let restarts: Vec<u64> = (0..3).map(|p| cluster.running(p).standing().revived).collect();
        let roles: Vec<bool> = (0..3).map(|p| cluster.running(p).standing().votes).collect();
        eprintln!("seed {seed} round {round} what {what}: {written} written, {} acked in all, healed in {:?}, {hash:.20?} restarts {restarts:?} votes {roles:?}", acked.len(), started.elapsed());
    }
    cluster.shutdown().await.unwrap();
}
