//! With the leader killed, writes through the survivors flow again by themselves.
//!
//! How soon is measured, not asserted: each turn prints it. `NETABASE_FAILOVER_TURNS` (3) sets how many turns.

use std::path::Path;
use std::time::{Duration, Instant};

use netabase_tests::{Failed, Processes};

const NODES: usize = 3;

#[test]
fn writes_flow_again_after_the_leaders_death() -> Result<(), Failed> {
    let turns = std::env::var("NETABASE_FAILOVER_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(3);
    let dir = tempfile::tempdir().map_err(|error| Failed(error.to_string()))?;
    let mut cluster = Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir.path(), NODES)?;
    let mut stalls = Vec::new();
    for turn in 0..turns {
        let leader = cluster.leader()?;
        let survivor = (leader + 1) % NODES;
        let before = cluster.ask(survivor, &format!("put {}", turn * 2_u64))?;
        assert_eq!(before, "ok", "before the kill");
        cluster.kill(leader)?;
        let killed = Instant::now();
        let after = cluster.ask(survivor, &format!("put {}", turn * 2 + 1))?;
        stalls.push(killed.elapsed());
        assert_eq!(after, "ok", "a write that waited for the next leader is taken, once");
        cluster.restart(leader)?;
        cluster.same_hash()?;
    }
    stalls.sort_unstable();
    let at = |part: usize| stalls.get(stalls.len() * part / 100).copied().unwrap_or(Duration::ZERO);
    println!("{turns} turns: p50 {:?}, p90 {:?}, max {:?}", at(50), at(90), stalls.last());
    Ok(())
}
