//! Membership under fire: nodes join, are removed, are killed and come back, one after the other and at once, while all of
//! them write. No acknowledged write is missing, no two nodes differ, nobody panics; the longest stall is printed.
//!
//! `NETABASE_FIRE_SECONDS` (60) and `NETABASE_SEED` set how long and which.

use std::path::Path;
use std::time::{Duration, Instant};

use netabase_tests::{Failed, Processes, Random};

const NODES: usize = 5;
const NODES_MIN: usize = 3;
const NODES_MAX: usize = 7;
const CALLERS: u64 = 2;

#[test]
fn membership_under_fire() -> Result<(), Failed> {
    let seconds = std::env::var("NETABASE_FIRE_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(60);
    let (seed, random) = Random::from_environment();
    let dir = tempfile::tempdir().map_err(|error| Failed(error.to_string()))?;
    let cluster = Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir.path(), NODES)?;
    let mut fire = Fire { cluster, random, members: (0..NODES).collect(), writes: 0, counts: Counts::default() };
    fire.run(Duration::from_secs(seconds)).map_err(|error| Failed(format!("seed {seed}: {error}")))?;
    println!(
        "{seconds} s, {} writes acknowledged, none missing; {:?}; longest stall {:?} (seed {seed})",
        fire.cluster.acknowledged().len(),
        fire.counts,
        fire.cluster.longest_stall()
    );
    Ok(())
}

#[derive(Debug, Default)]
struct Counts {
    kills: u64,
    joins: u64,
    removals: u64,
    /// Joins and removals that the cluster could not do at that moment.
    put_off: u64,
}

struct Fire {
    cluster: Processes,
    random: Random,
    /// Who is a member, as far as this test knows; some of them may be down.
    members: Vec<usize>,
    writes: u64,
    counts: Counts,
}

impl Fire {
    fn run(&mut self, lasts: Duration) -> Result<(), Failed> {
        for node in self.members.clone() {
            self.write(node)?;
        }
        let end = Instant::now() + lasts;
        while Instant::now() < end {
            match self.random.below(5) {
                0 | 1 => self.kill_one()?,
                2 => self.join()?,
                3 => self.remove()?,
                _ => self.bring_back()?,
            }
            pause(self.random.below(300));
        }
        self.settle()
    }

    /// Has a node write ids that nobody else writes.
    fn write(&mut self, node: usize) -> Result<(), Failed> {
        self.writes += 1;
        self.cluster.say(node, &format!("write {} {CALLERS}", self.writes << 32))
    }

    fn up(&self) -> Vec<usize> {
        self.members.iter().copied().filter(|&node| self.cluster.is_running(node)).collect()
    }

    fn any(&mut self, nodes: &[usize]) -> Option<usize> {
        (!nodes.is_empty()).then(|| nodes[self.random.below(nodes.len() as u64) as usize])
    }

    fn kill_one(&mut self) -> Result<(), Failed> {
        let up = self.up();
        // A majority stays, or is back in a moment: without one nothing happens.
        let spare = up.len() > self.members.len() / 2 + 1;
        let Some(victim) = self.any(&up).filter(|_| spare || self.random.below(5) == 0) else {
            return self.bring_back();
        };
        self.counts.kills += 1;
        self.cluster.kill(victim)?;
        if spare {
            return Ok(());
        }
        pause(self.random.below(300));
        self.cluster.restart(victim)?;
        self.write(victim)
    }

    fn bring_back(&mut self) -> Result<(), Failed> {
        let down: Vec<usize> = self.members.iter().copied().filter(|&node| !self.cluster.is_running(node)).collect();
        let Some(node) = self.any(&down) else { return Ok(()) };
        match self.cluster.restart(node) {
            Ok(()) => self.write(node),
            // A removal that was put off was done after all.
            Err(why) if why.to_string().contains("removed from the cluster") => {
                self.members.retain(|member| *member != node);
                Ok(())
            }
            Err(why) => Err(why),
        }
    }

    fn join(&mut self) -> Result<(), Failed> {
        let up = self.up();
        if self.members.len() >= NODES_MAX {
            return Ok(());
        }
        let Some(inviter) = self.any(&up) else { return Ok(()) };
        let before = self.cluster.len();
        let joined = self.cluster.join(inviter);
        if self.cluster.len() > before {
            // It may be a member already; it tries again when it is brought back.
            self.members.push(before);
        }
        if joined.is_ok() {
            self.counts.joins += 1;
            return self.write(before);
        }
        self.counts.put_off += 1;
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Failed> {
        let (up, members) = (self.up(), self.members.clone());
        if members.len() <= NODES_MIN {
            return Ok(());
        }
        let (Some(by), Some(leaving)) = (self.any(&up), self.any(&members)) else { return Ok(()) };
        let peer = self.cluster.peer(leaving).to_owned();
        if self.cluster.ask(by, &format!("remove {peer}"))? == "ok" {
            self.counts.removals += 1;
            self.members.retain(|node| *node != leaving);
            return self.cluster.kill(leaving);
        }
        self.counts.put_off += 1;
        Ok(())
    }

    /// Everybody comes back and stops writing: what was acknowledged is there, on every member alike.
    fn settle(&mut self) -> Result<(), Failed> {
        for node in self.members.clone() {
            // One whose removal was put off may have left by now.
            let _ = self.cluster.restart(node);
        }
        let up = self.up();
        for &node in &up {
            let _ = self.cluster.ask(node, "pause");
        }
        let asked = self.any(&up).ok_or_else(|| Failed("nobody is up".into()))?;
        let probe = self.cluster.ask(asked, &format!("put {}", 1_u64 << 62))?;
        if probe != "ok" && !probe.contains("removed from the cluster") {
            return Err(Failed(format!("a write at the end: {probe}")));
        }
        let mut members = Vec::new();
        for &node in &up {
            let known = self.cluster.members(node)?;
            members = if known.contains(&node) && known.len() > members.len() { known } else { members };
        }
        for node in up.iter().filter(|node| !members.contains(node)) {
            self.cluster.kill(*node)?;
        }
        self.cluster.same_hash()?;
        let acknowledged = self.cluster.acknowledged();
        let ids: String = acknowledged.iter().map(|id| format!("{id}\n")).collect();
        let file = self.cluster.dir(0).join("acknowledged");
        std::fs::write(&file, ids).map_err(|error| Failed(error.to_string()))?;
        for node in up.into_iter().filter(|node| members.contains(node)) {
            let missing = self.cluster.ask(node, &format!("check {}", file.display()))?;
            if missing != "0" {
                let acknowledged = acknowledged.len();
                return Err(Failed(format!("{missing} of {acknowledged} acknowledged writes are missing on {node}")));
            }
        }
        match self.cluster.panics() {
            panics if panics.is_empty() => Ok(()),
            panics => Err(Failed(format!("{panics:?}"))),
        }
    }
}

/// Lets the load run for a random time: this is what is tested, not what is waited for.
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
