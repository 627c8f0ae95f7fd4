//! With the leader killed, writes through the survivors flow again within a second.

use std::path::Path;
use std::time::{Duration, Instant};

use netabase_tests::{Failed, Processes};

const NODES: usize = 3;
/// What is promised; measured: about 300 ms, most of it the silence after which a leader is suspected.
const WITHIN: Duration = Duration::from_secs(1);

#[test]
fn writes_flow_again_within_a_second_of_the_leaders_death() -> Result<(), Failed> {
    let dir = tempfile::tempdir().map_err(|error| Failed(error.to_string()))?;
    let mut cluster = Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir.path(), NODES)?;
    for turn in 0..3_u64 {
        let leader = cluster.leader()?;
        let survivor = (leader + 1) % NODES;
        let first = cluster.ask(survivor, &format!("put {}", turn * 2))?;
        assert_eq!(first, "ok", "before the kill");
        cluster.kill(leader)?;
        let killed = Instant::now();
        let second = cluster.ask(survivor, &format!("put {}", turn * 2 + 1))?;
        let stalled = killed.elapsed();
        println!("turn {turn}: a write through a survivor took {stalled:?}");
        assert_eq!(second, "ok", "after the kill");
        assert!(stalled < WITHIN, "writes stalled for {stalled:?}");
        cluster.restart(leader)?;
        cluster.same_hash()?;
    }
    Ok(())
}
