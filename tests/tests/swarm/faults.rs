//! What goes wrong, and how it is mended.

use std::time::{Duration, Instant};

use netabase::testing::{Cluster, ForgetfulDisk, Random, Unsynced};
use netabase::{Error, Role};
use netabase_tests::until;

use super::NODES;
use super::load::Zoo;

/// How long a node may take to start again.
const DEADLINE: Duration = Duration::from_secs(30);
/// Voters there may be.
const NODES_MAX: usize = 5;
/// What a disk may still take that is to be full soon.
const LEFT_BYTES: u64 = 96 << 10;

/// One thing goes wrong; says which. `alone`: nothing else is wrong.
pub(super) async fn strike(cluster: &mut Cluster<Zoo>, random: &mut Random, alone: bool) -> Option<&'static str> {
    let node = random.index(cluster.len());
    let other = (node + 1 + random.index(cluster.len() - 1)) % cluster.len();
    let torn = Unsynced::Torn { seed: random.next_number() };
    let what = match random.below(16) {
        0 => {
            cluster.crash_leaving(node, torn).await;
            "power cut of one"
        }
        1 => {
            cluster.crash(leader(cluster).await?).await;
            "power cut of the leader"
        }
        2 => {
            cluster.crash_all(torn).await;
            "power cut of all, torn"
        }
        3 => {
            cluster.crash_all(Unsynced::Lost).await;
            "power cut of all, unsynced lost"
        }
        4 => {
            cluster.crash_all(Unsynced::Kept).await;
            "kill of all"
        }
        5 => {
            isolate(cluster, node);
            "partition"
        }
        6 => {
            let leader = leader(cluster).await?;
            isolate(cluster, leader);
            "partition of the leader"
        }
        7 => {
            cluster.cut(node, other);
            "one-way cut"
        }
        8 => {
            let leader = leader(cluster).await?;
            for to in (0..cluster.len()).filter(|to| *to != leader) {
                cluster.cut(leader, to);
            }
            "a leader that nobody hears"
        }
        9 => {
            cluster.lose_messages(20 + random.below(100));
            "loss"
        }
        10 => {
            cluster.delay_messages(Duration::ZERO..Duration::from_millis(20));
            cluster.reorder_messages(300);
            "delay and reordering"
        }
        11 => {
            cluster.double_messages(300);
            "doubles"
        }
        12 if alone && all_vote(cluster).await => {
            disk(cluster, random, node).fail_syncs(true);
            "syncs fail"
        }
        13 => {
            let disk = disk(cluster, random, node);
            disk.limit_bytes(Some(disk.bytes_used() + LEFT_BYTES));
            "full disk"
        }
        14 => {
            disk(cluster, random, node).hold_syncs(true);
            "slow disk"
        }
        _ => return membership(cluster, random).await,
    };
    Some(what)
}

/// Everything works again, and every node runs.
pub(super) async fn mend(cluster: &mut Cluster<Zoo>) -> netabase::Result<()> {
    cluster.calm();
    for node in 0..cluster.len() {
        for disk in [cluster.log_disk(node), cluster.store_disk(node)] {
            disk.hold_syncs(false);
            disk.limit_bytes(None);
            disk.fail_syncs(false);
        }
    }
    for node in 0..cluster.len() {
        if !cluster.is_running(node) {
            continue;
        }
        let db = cluster.node(node);
        if cluster.log_disk(node).syncs_failed() + cluster.store_disk(node).syncs_failed() > 0 {
            // It goes down by itself, as it must when its disk fails, and need not have done so yet.
            until(|| async { db.status().await.is_err() }).await;
        }
        if db.status().await.is_err() {
            cluster.crash(node).await;
        }
    }
    let deadline = Instant::now() + DEADLINE;
    for node in 0..cluster.len() {
        loop {
            match cluster.restart(node).await {
                Ok(()) | Err(Error::Removed) => break,
                // One that joins asks those that are starting with it.
                Err(Error::NoQuorum | Error::InvalidInvite { .. }) if Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Whether every founder runs and votes. Whose disk fails gives up its vote until the next epoch: two of three that do are a
/// majority lost, which no cluster gets over by itself.
async fn all_vote(cluster: &Cluster<Zoo>) -> bool {
    for node in 0..NODES {
        let votes = cluster.is_running(node)
            && cluster.node(node).status().await.is_ok_and(|status| status.role == Role::Voter);
        if !votes {
            return false;
        }
    }
    true
}

async fn leader(cluster: &Cluster<Zoo>) -> Option<usize> {
    tokio::time::timeout(Duration::from_secs(2), cluster.leader()).await.ok()?.ok()
}

fn isolate(cluster: &mut Cluster<Zoo>, node: usize) {
    let others: Vec<usize> = (0..cluster.len()).filter(|other| *other != node).collect();
    cluster.partition([&[node], &others]);
}

fn disk(cluster: &Cluster<Zoo>, random: &mut Random, node: usize) -> ForgetfulDisk {
    if random.below(2) == 0 { cluster.log_disk(node) } else { cluster.store_disk(node) }
}

/// One more voter, whose invite nobody else can use.
async fn membership(cluster: &mut Cluster<Zoo>, random: &mut Random) -> Option<&'static str> {
    let inviter = leader(cluster).await?;
    if cluster.len() >= NODES_MAX {
        return None;
    }
    let role = if random.below(3) == 0 { Role::Learner } else { Role::Voter };
    let place = cluster.join_later(inviter, role).await.ok()?;
    let _ = cluster.restart(place).await;
    Some("a node joins")
}
