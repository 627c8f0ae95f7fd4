//! With the leader killed, or stopped, writes through the survivors flow again by themselves; and nobody takes over from a
//! leader that is merely busy.
//!
//! How soon is measured, not asserted: it is printed. `NETABASE_FAILOVER_TURNS` (3) sets how many turns, and
//! `NETABASE_FAILOVER_LOAD_S` (4) for how many seconds everybody writes flat out.

use std::path::Path;
use std::time::{Duration, Instant};

use netabase_tests::{Failed, Processes};

const NODES: usize = 3;
const CALLERS: usize = 64;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Has the leader leave, again and again, and prints how long the write took that came just then.
fn turns(what: &str, mut leave: impl FnMut(&mut Processes, usize) -> Result<(), Failed>) -> Result<(), Failed> {
    let turns = setting("NETABASE_FAILOVER_TURNS", 3);
    let dir = tempfile::tempdir().map_err(|error| Failed(error.to_string()))?;
    let mut cluster = Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir.path(), NODES)?;
    let mut stalls = Vec::new();
    for turn in 0..turns {
        let leader = cluster.leader()?;
        let survivor = (leader + 1) % NODES;
        let before = cluster.ask(survivor, &format!("put {}", turn * 2))?;
        assert_eq!(before, "ok", "before it leaves");
        leave(&mut cluster, leader)?;
        let left = Instant::now();
        let after = cluster.ask(survivor, &format!("put {}", turn * 2 + 1))?;
        stalls.push(left.elapsed());
        assert_eq!(after, "ok", "a write that waited for the next leader is taken, once");
        cluster.ended(leader)?;
        cluster.restart(leader)?;
        cluster.same_hash()?;
    }
    stalls.sort_unstable();
    let at = |part: usize| stalls.get(stalls.len() * part / 100).copied().unwrap_or(Duration::ZERO);
    println!("{what}, {turns} turns: p50 {:?}, p90 {:?}, p99 {:?}, max {:?}", at(50), at(90), at(99), stalls.last());
    Ok(())
}

#[test]
fn writes_flow_again_after_the_leaders_death() -> Result<(), Failed> {
    turns("killed", |cluster, leader| cluster.kill(leader))
}

#[test]
fn writes_flow_on_when_the_leader_is_stopped() -> Result<(), Failed> {
    turns("stopped", |cluster, leader| cluster.stop(leader))
}

/// Everybody writes as fast as it goes, on a machine that has no core to spare: whoever leads goes on leading.
#[test]
fn nobody_takes_over_from_a_busy_leader() -> Result<(), Failed> {
    let dir = tempfile::tempdir().map_err(|error| Failed(error.to_string()))?;
    let mut cluster = Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir.path(), NODES)?;
    let leader = cluster.leader()?;
    for node in 0..NODES {
        cluster.ask(node, "changes")?;
        cluster.say(node, &format!("write {} {CALLERS}", node * 1_000_000_000))?;
    }
    let load = Duration::from_secs(setting("NETABASE_FAILOVER_LOAD_S", 4));
    let end = Instant::now() + load;
    while Instant::now() < end {
        cluster.leader()?;
    }
    let mut changes = 0;
    for node in 0..NODES {
        cluster.ask(node, "pause")?;
        changes += cluster.ask(node, "changes")?.parse::<u64>().unwrap_or(u64::MAX);
    }
    println!("{load:?} of writing: {} writes, {changes} changes of the leader", cluster.acknowledged().len());
    assert_eq!((cluster.leader()?, changes), (leader, 0));
    cluster.same_hash()?;
    Ok(())
}
