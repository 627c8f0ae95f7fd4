//! Stores that are large and logs that are long: what a joiner and the sender of its snapshot hold in memory, and how soon
//! nodes that went through many rounds write again.
//!
//! Memory is a bound and asserted; how fast is printed. `NETABASE_JOINER_MIB` (96) sets how much a joiner receives,
//! `NETABASE_JOINER_BEFORE_S` (3) for how long the writers are watched before it does, and `NETABASE_RESTART_ROUNDS`
//! (20,000) after how many rounds the nodes start again, of which there are `NETABASE_RESTART_NODES` (3).

use std::path::Path;
use std::time::{Duration, Instant};

use netabase_tests::{Failed, Processes};

/// What a node may hold, whatever is in its store.
const MEMORY_MAX: u64 = 300 << 20;
const TEXT_BYTES: u64 = 4096;
/// How much is written between two looks.
const STEP: u64 = (16 << 20) / TEXT_BYTES;
const CALLERS: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(600);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn started(dir: &Path, nodes: usize) -> Result<Processes, Failed> {
    Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir, nodes)
}

fn directory() -> Result<tempfile::TempDir, Failed> {
    tempfile::tempdir().map_err(|error| Failed(error.to_string()))
}

fn applied(cluster: &mut Processes, node: usize) -> Result<u64, Failed> {
    cluster.ask(node, "applied")?.parse().map_err(|_| Failed("no round".into()))
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

#[test]
fn a_joiner_receives_a_large_store_while_writes_go_on() -> Result<(), Failed> {
    let size = setting("NETABASE_JOINER_MIB", 96);
    let dir = directory()?;
    let mut cluster = started(dir.path(), 1)?;
    let records = (size << 20) / TEXT_BYTES;
    let filling = Instant::now();
    for first in (0..records).step_by(STEP as usize) {
        let count = STEP.min(records - first);
        let filled = cluster.ask(0, &format!("fill {first} {count} {TEXT_BYTES}"))?;
        assert_eq!(filled, "ok");
    }
    let (filled, filler) = (filling.elapsed(), cluster.memory_peak(0)?);

    cluster.say(0, &format!("write {} {CALLERS}", 1_u64 << 32))?;
    let (counted, since) = (cluster.acknowledged_count(), Instant::now());
    std::thread::sleep(Duration::from_secs(setting("NETABASE_JOINER_BEFORE_S", 3)));
    let before = (cluster.acknowledged_count() - counted) as f64 / since.elapsed().as_secs_f64();
    let alone = cluster.memory_peak(0)?;

    let goal = applied(&mut cluster, 0)?;
    let (counted, since) = (cluster.acknowledged_count(), Instant::now());
    let joiner = cluster.join(0)?;
    while applied(&mut cluster, joiner)? < goal {
        assert!(since.elapsed() < PATIENCE, "the joiner does not come to the round of its invite");
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = since.elapsed();
    let during = (cluster.acknowledged_count() - counted) as f64 / took.as_secs_f64();
    let peaks = [cluster.memory_peak(0)?, cluster.memory_peak(joiner)?];
    cluster.ask(0, "pause")?;
    cluster.same_hash()?;
    println!(
        "filled {size} MiB in {filled:?} (at most {} MiB of memory); joined in {took:?}, {:.0} MiB/s; writes/s before {before:.0} \
         and during {during:.0}; at most {} MiB at the sender ({} before) and {} MiB at the joiner; longest stall {:?}",
        mib(filler),
        size as f64 / took.as_secs_f64(),
        mib(peaks[0]),
        mib(alone),
        mib(peaks[1]),
        cluster.longest_stall()
    );
    assert!(peaks.iter().all(|peak| *peak < MEMORY_MAX), "{peaks:?}");
    Ok(())
}

#[test]
fn nodes_that_went_through_many_rounds_start_at_once() -> Result<(), Failed> {
    let rounds = setting("NETABASE_RESTART_ROUNDS", 20_000);
    let dir = directory()?;
    let mut cluster = started(dir.path(), setting("NETABASE_RESTART_NODES", 3) as usize)?;
    let mut first = Vec::new();
    for node in 0..cluster.len() {
        first.push(cluster.memory_peak(node)?);
        cluster.say(node, &format!("write {} 4", (node as u64 + 1) << 32))?;
    }
    let (since, mut seen) = (Instant::now(), 0);
    while seen < rounds {
        std::thread::sleep(Duration::from_millis(100));
        let now = applied(&mut cluster, 0)?;
        assert!(now > seen || since.elapsed() < PATIENCE, "the rounds stand still at {seen}");
        seen = now;
    }
    let took = since.elapsed();
    let mut before = Vec::new();
    for node in 0..cluster.len() {
        before.push(cluster.memory_peak(node)?);
    }
    for node in 0..cluster.len() {
        cluster.kill(node)?;
    }
    let since = Instant::now();
    for node in 0..cluster.len() {
        cluster.launch(node)?;
    }
    for node in 0..cluster.len() {
        cluster.hear(node, "started")?;
    }
    let up = since.elapsed();
    let put = cluster.ask(cluster.len() - 1, "put 0")?;
    let wrote = since.elapsed();
    assert_eq!(put, "ok");
    let mut after = Vec::new();
    for node in 0..cluster.len() {
        after.push(cluster.memory_peak(node)?);
    }
    cluster.same_hash()?;
    let shown = |peaks: &[u64]| peaks.iter().map(|peak| mib(*peak).to_string()).collect::<Vec<_>>().join("/");
    println!(
        "{seen} rounds in {took:?}; killed, started again in {up:?}, first write after {wrote:?}; memory in MiB: at the first start \
         {}, while writing {}, after the start {}",
        shown(&first),
        shown(&before),
        shown(&after)
    );
    assert!(after.iter().all(|peak| *peak < MEMORY_MAX), "{after:?}");
    Ok(())
}
