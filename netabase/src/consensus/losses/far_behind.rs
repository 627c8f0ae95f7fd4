//! D8 and catch-up by snapshot: a node whose next round is in nobody's log any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::puppet::Puppet;
use super::stage::{Stage, item, opening, patient, put_at_last, putting, session, until, until_within};
use crate::consensus::fixture::{entry, row};
use crate::consensus::id::{ClusterId, Incarnation};
use crate::consensus::log::Mirror;
use crate::consensus::message::{PaxosAnswer, SyncAnswer, SyncRequest};
use crate::error::Error;
use crate::machine::{CHUNK_BYTES, Machine, Roster, SnapshotId};
use crate::node::Tuning;
use crate::schema::{Catalog, Record};
use crate::storage::{MemoryEngine, Store, StoreKind};
use crate::testing::fixture::Item;
use crate::testing::{Cluster, ForgetfulDisk, Fuse, Unsynced};

const SNAPSHOT: u64 = 5;

fn cluster_of(stage: &Stage) -> ClusterId {
    stage.greeting(Incarnation([0; 16])).cluster
}

/// The state of a node that applied this many rounds, each after the first with a record of this size.
fn snapshot(cluster: ClusterId, rounds: u64, size: usize) -> (SnapshotId, Vec<u8>) {
    let store = Store::open(Arc::new(MemoryEngine::default())).unwrap();
    let mut machine = {
        let catalog = Catalog::of::<Item>().unwrap();
        let founders = Roster::founded([], catalog.newest());
        Machine::open(store, catalog, founders).unwrap()
    };
    for round in 1..=rounds {
        let item = Item { id: round, name: "n".repeat(size) };
        let entry = if round == 1 { opening(1) } else { putting(round, session(1), round, &item) };
        machine.apply(round, &entry).unwrap();
    }
    let flush = machine.begin_flush().unwrap();
    drop(machine.end_flush(flush.run().unwrap()).unwrap());
    let file = ForgetfulDisk::new();
    let packed = machine.durable_state().pack(cluster.0, &file, &|| true).unwrap();
    let mut bytes = vec![0; usize::try_from(packed.id.bytes).unwrap()];
    redb::StorageBackend::read(&file, 0, &mut bytes).unwrap();
    (packed.id, bytes)
}

fn serve(puppets: &[Puppet], snapshot: &(SnapshotId, Vec<u8>)) {
    puppets.iter().for_each(|puppet| puppet.script().snapshot = Some(snapshot.clone()));
}

/// It accepted round 7 under ballot 4: whatever takes the place of its state, it says so to whoever asks.
#[tokio::test(flavor = "multi_thread")]
async fn d8_a_node_keeps_its_votes_when_a_snapshot_takes_the_place_of_its_state() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    puppets[0].propose(2, 4, &entry(2)).await.unwrap();
    puppets[0].propose(7, 4, &entry(99)).await.unwrap();
    serve(&puppets, &snapshot(cluster_of(&stage), SNAPSHOT, 100));
    puppets[0].beat(4, SNAPSHOT).await;
    until(|| stage.applied() == SNAPSHOT).await;
    until(|| stage.durable(Mirror::chosen) == SNAPSHOT).await;
    assert_eq!(stage.handle().get_record::<Item>(3_u64).await.unwrap().unwrap().name.len(), 100);
    let kept = PaxosAnswer::Promise(vec![row(7, 4, &entry(99))]);
    for (promised, ballot) in [(4, 5), (5, 8)] {
        assert_eq!(vote(&puppets[1], 2).await, PaxosAnswer::Supplanted { ballot: promised });
        assert_eq!(vote(&puppets[1], ballot).await, kept, "it forgot what it had accepted");
        stage.crash(Unsynced::Lost).await;
        stage.restart(&puppets).await;
        assert_eq!(stage.applied(), SNAPSHOT);
        assert!(stage.node().standing().votes, "it takes its log for an older one");
    }
    let gone = puppets[1].ask_sync(SyncRequest::Rows { from: 2, bytes_max: 1 << 20 }).await;
    assert_eq!(gone, SyncAnswer::Compacted { through: SNAPSHOT });
}

async fn vote(puppet: &Puppet, ballot: u64) -> PaxosAnswer {
    // While the keeper is being woken there is no vote.
    loop {
        if let Ok(answer) = puppet.prepare(SNAPSHOT + 1, ballot).await {
            return answer;
        }
        puppet.probe().await;
    }
}

/// A flipped bit, under a hash of its own: the file is thrown away, and the other peer asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_not_what_it_says_is_thrown_away() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    let good = snapshot(cluster_of(&stage), SNAPSHOT, 300_000);
    let mut bad = good.clone();
    bad.1[300_000] ^= 1;
    let foreign = snapshot(ClusterId([9; 16]), SNAPSHOT, 100);
    for lie in [bad, foreign] {
        puppets[0].script().snapshot = Some(lie);
        puppets[0].script().pieces.clear();
        puppets[0].beat(4, SNAPSHOT).await;
        until(|| !puppets[0].script().pieces.is_empty()).await;
    }
    assert_eq!(stage.applied(), 0);
    serve(&puppets[1..], &good);
    puppets[0].beat(4, SNAPSHOT).await;
    until(|| stage.applied() == SNAPSHOT).await;
    assert_eq!(stage.handle().count(Item::all()).await.unwrap(), 4);
}

/// The first peer ends in the middle, the node then, too: what was synced is not fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_fetched_on_after_a_restart_and_from_another_peer() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    let whole = snapshot(cluster_of(&stage), 30, 400_000);
    serve(&puppets[..1], &whole);
    puppets[0].script().pieces_max = 20;
    puppets[0].beat(4, 30).await;
    until(|| puppets[0].script().pieces.len() >= 20).await;
    stage.crash(Unsynced::Lost).await;
    puppets[0].script().snapshot = None;
    serve(&puppets[1..], &whole);
    stage.restart(&puppets).await;
    puppets[0].beat(4, 30).await;
    until(|| stage.applied() == 30).await;
    let first = puppets[1].script().pieces.first().copied().unwrap();
    assert!(first >= 16 << 20 && first.is_multiple_of(CHUNK_BYTES as u64), "it began again at {first}");
}

/// Logs are kept as short as they can be: who is behind needs a snapshot.
fn brief() -> Tuning {
    Tuning::default().log_bytes_max(0).request_timeout(Duration::from_secs(20))
}

/// Waits until no other node's log has what this one needs next: it is kept for a minute for a node that was fetching a
/// snapshot when it crashed.
async fn until_out_of_reach(cluster: &Cluster<Item>, needed: u64, others: [usize; 2]) {
    let is_gone = |place: &usize| cluster.replica(*place).log().read_chosen(needed, 0).unwrap().is_empty();
    until_within(Duration::from_secs(90), || others.iter().all(is_gone)).await;
}

/// Puts records until told to stop, and gives how many.
fn writer(cluster: &Cluster<Item>, place: usize, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let (db, stop) = (cluster.node(place), Arc::clone(stop));
    tokio::spawn(async move {
        let mut written = 0;
        while !stop.load(Ordering::Relaxed) {
            match db.put_record(Item { id: 1_000 + written % 50, name: "w".repeat(2_000) }).await {
                Ok(_) => written += 1,
                Err(error) => assert!(matches!(error, Error::NoQuorum | Error::Timeout), "{error}"),
            }
        }
        written
    })
}

async fn comes_back_by_snapshot(store: StoreKind) {
    let mut cluster = Cluster::<Item>::start(3).tuning(brief()).store(store).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let (away, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.node(leader).put_record(item(1)).await.unwrap();
    cluster.converged().await.unwrap();
    let needed = cluster.replica(away).applied() + 1;
    cluster.crash(away).await;
    for id in 2..400 {
        cluster.node(other).put_record(Item { id, name: "n".repeat(4_000) }).await.unwrap();
    }
    until_out_of_reach(&cluster, needed, [leader, other]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writer(&cluster, other, &stop);
    cluster.restart(away).await.unwrap();
    let round = cluster.replica(leader).applied();
    until(|| cluster.replica(away).applied() >= round).await;
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
    cluster.converged().await.unwrap();
    assert_eq!(cluster.node(away).get_record::<Item>(300_u64).await.unwrap().unwrap().name.len(), 4_000);
    // It votes again: with it alone, the leader goes on.
    cluster.crash(other).await;
    put_at_last(&cluster, away, 5_000).await;
    // And finds it all again after a crash of everybody.
    cluster.crash_all(Unsynced::Lost).await;
    for place in 0..3 {
        cluster.restart(place).await.unwrap();
    }
    cluster.converged().await.unwrap();
    assert_eq!(
        cluster.node(away).count(Item::all()).await.unwrap(),
        cluster.node(leader).count(Item::all()).await.unwrap()
    );
    cluster.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_for_too_long_comes_back_by_itself() {
    comes_back_by_snapshot(StoreKind::Redb).await;
}

/// The power of a node that fetches and installs a snapshot goes at any moment, again and again, while others write.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_crashes_while_it_comes_back_comes_back() {
    let mut cluster = Cluster::<Item>::start(3).seed(7).tuning(brief()).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let (away, other) = ((leader + 1) % 3, (leader + 2) % 3);
    for id in 0..100 {
        cluster.node(other).put_record(Item { id: 10_000 + id, name: "n".repeat(20_000) }).await.unwrap();
    }
    let mut next = 20_000;
    for seed in 0..4_u64 {
        cluster.converged().await.unwrap();
        let needed = cluster.replica(away).applied() + 1;
        cluster.crash_leaving(away, Unsynced::Torn { seed }).await;
        for _ in 0..40 {
            put_at_last(&cluster, other, next).await;
            next += 1;
        }
        until_out_of_reach(&cluster, needed, [leader, other]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writing = writer(&cluster, other, &stop);
        for attempt in 0..3 {
            // From the first pieces to behind the installation: a start alone makes some twenty changes.
            let fuse = Fuse::of(30 + 61 * seed + 17 * attempt);
            cluster.disks(away).set_fuse(&fuse);
            if cluster.restart(away).await.is_ok() {
                until(|| fuse.left() == 0 || cluster.replica(away).applied() >= cluster.replica(leader).applied())
                    .await;
            }
            cluster.crash_leaving(away, Unsynced::Torn { seed: seed + attempt }).await;
        }
        cluster.restart(away).await.unwrap();
        let round = cluster.replica(leader).applied();
        until(|| cluster.replica(away).applied() >= round).await;
        stop.store(true, Ordering::Relaxed);
        writing.await.unwrap();
    }
    cluster.converged().await.unwrap();
    assert!(cluster.node(away).status().await.unwrap().role == crate::Role::Voter, "no vote was lost");
    cluster.shutdown().await.unwrap();
}

/// Membership changed while it was away, and the rows that say so are gone: the snapshot brings it into the later epoch,
/// where it votes.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_leads_into_a_later_epoch() {
    let mut cluster = Cluster::<Item>::start(3).tuning(brief()).await.unwrap();
    for id in 0..20 {
        cluster.node(0).put_record(item(id)).await.unwrap();
    }
    cluster.converged().await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let (away, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let needed = cluster.replica(away).applied() + 1;
    cluster.crash(away).await;
    let joined = cluster.join(leader, crate::Role::Voter).await.unwrap();
    for id in 100..140 {
        put_at_last(&cluster, joined, id).await;
    }
    for others in [[leader, other], [other, joined]] {
        until_out_of_reach(&cluster, needed, others).await;
    }
    cluster.restart(away).await.unwrap();
    until(|| cluster.running_standing(away).epoch == cluster.running_standing(leader).epoch).await;
    cluster.converged().await.unwrap();
    assert!(cluster.running_standing(away).votes);
    // Three of four are a majority only with its vote.
    cluster.crash(joined).await;
    put_at_last(&cluster, away, 200).await;
    assert_eq!(cluster.node(away).get_record::<Item>(120_u64).await.unwrap(), Some(item(120)));
    cluster.converged().await.unwrap();
    cluster.shutdown().await.unwrap();
}
