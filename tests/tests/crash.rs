//! All three nodes are killed at random moments under load and started again: no acknowledged write is missing, and no
//! two nodes differ, in any round.
//!
//! `NETABASE_CRASH_ROUNDS` (10) and `NETABASE_SEED` set how long and which.

use std::path::Path;
use std::time::{Duration, Instant};

use netabase_tests::{Failed, Processes, Random};

const NODES: usize = 3;
const CALLERS: u64 = 8;

#[test]
fn acknowledged_writes_survive_the_death_of_all_nodes() -> Result<(), Failed> {
    let rounds = std::env::var("NETABASE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let (seed, mut random) = Random::from_environment();
    let dir = tempfile::tempdir().map_err(|error| Failed(error.to_string()))?;
    let mut cluster = Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir.path(), NODES)?;
    for round in 0..rounds {
        run(&mut cluster, &mut random, round)
            .map_err(|error| Failed(format!("seed {seed}, round {round}: {error}")))?;
    }
    println!("{rounds} rounds, {} writes acknowledged, none missing (seed {seed})", cluster.acknowledged().len());
    Ok(())
}

fn run(cluster: &mut Processes, random: &mut Random, round: u64) -> Result<(), Failed> {
    for node in 0..NODES {
        // Ids of a round and a node are its own.
        let first = (round * NODES as u64 + node as u64 + 1) << 32;
        cluster.say(node, &format!("write {first} {CALLERS}"))?;
    }
    let before = cluster.acknowledged().len();
    wait_for_load(cluster, before + 50)?;
    pause(random.below(400));
    let order = random.below(NODES as u64) as usize;
    for node in 0..NODES {
        cluster.kill((order + node) % NODES)?;
        pause(random.below(3));
    }
    // Every fifth time some die again while they recover.
    if round % 5 == 4 {
        for node in 0..NODES {
            cluster.launch(node)?;
        }
        pause(random.below(300));
        for node in 0..NODES {
            cluster.kill(node)?;
        }
    }
    for node in 0..NODES {
        cluster.restart(node)?;
    }
    let probe = cluster.ask(random.below(NODES as u64) as usize, &format!("put {}", (1_u64 << 62) + round))?;
    if probe != "ok" {
        return Err(Failed(format!("a write after the restart: {probe}")));
    }
    cluster.same_hash()?;
    let acknowledged = cluster.acknowledged();
    let ids: String = acknowledged.iter().map(|id| format!("{id}\n")).collect();
    let file = cluster.dir(0).join("acknowledged");
    std::fs::write(&file, ids).map_err(|error| Failed(error.to_string()))?;
    for node in 0..NODES {
        let missing = cluster.ask(node, &format!("check {}", file.display()))?;
        if missing != "0" {
            return Err(Failed(format!(
                "{missing} of {} acknowledged writes are missing on node {node}",
                acknowledged.len()
            )));
        }
    }
    Ok(())
}

/// The load is running once this many writes are acknowledged.
fn wait_for_load(cluster: &Processes, acknowledged: usize) -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while cluster.acknowledged().len() < acknowledged {
        if Instant::now() > deadline {
            return Err(Failed("the nodes acknowledge nothing".into()));
        }
        pause(5);
    }
    Ok(())
}

/// Lets the load run for a random time: this is what is tested, not what is waited for.
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
