//! D9: a node whose log is gone, damaged or older than it was never votes again in its epoch. Losses 4 and 6.

use std::time::Duration;

use super::stage::{Stage, eager, item, patient, put_at_last, until};
use crate::consensus::fixture::{entry, row};
use crate::consensus::message::PaxosAnswer;
use crate::node::Role;
use crate::node::Tuning;
use crate::testing::fixture::Item;
use crate::testing::{Cluster, Unsynced};

/// Loss 4: a second crash made the node active again, from a young log. It votes again in the next epoch, which names it.
#[tokio::test(flavor = "multi_thread")]
async fn loss_4_a_node_without_its_log_has_no_vote_before_the_next_epoch() {
    let tuning = Tuning::default().request_timeout(Duration::from_secs(2));
    let mut cluster = Cluster::<Item>::start(3).tuning(tuning).await.unwrap();
    for id in 0..20 {
        cluster.node(0).put_record(item(id)).await.unwrap();
    }
    let leader = cluster.leader().await.unwrap();
    let (forgetful, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.crash(forgetful).await;
    cluster.crash(other).await;
    cluster.lose_log(forgetful);
    for _ in 0..2 {
        cluster.restart(forgetful).await.unwrap();
        assert_eq!(cluster.node(forgetful).status().await.unwrap().role, Role::Learner);
        assert!(cluster.node(leader).put_record(item(100)).await.is_err(), "a learner's vote was counted");
        cluster.crash(forgetful).await;
    }
    cluster.restart(forgetful).await.unwrap();
    cluster.restart(other).await.unwrap();
    put_at_last(&cluster, forgetful, 101).await;
    let handle = cluster.node(forgetful);
    until(|| matches!(futures::executor::block_on(handle.status()), Ok(status) if status.role == Role::Voter)).await;
    cluster.converged().await.unwrap();
    cluster.crash(other).await;
    put_at_last(&cluster, forgetful, 102).await;
    cluster.restart(other).await.unwrap();
    cluster.converged().await.unwrap();
    cluster.shutdown().await.unwrap();
}

/// Loss 6: C has promised X's ballot 6 and loses its disk. A delayed proposal and commit of round 1 under ballot 5 made
/// it active, and it accepted v in round 2 for the old leader, against its forgotten promise.
#[tokio::test(flavor = "multi_thread")]
async fn loss_6_a_forgotten_promise_is_not_broken() {
    let (mut stage, puppets) = Stage::start(5, 2, patient()).await;
    let (old, x) = (&puppets[0], &puppets[1]);
    assert_eq!(x.prepare(1, 6).await, Ok(PaxosAnswer::Promise(Vec::new())));
    stage.crash(Unsynced::Lost).await;
    stage.lose_log();
    stage.restart(&puppets).await;
    assert!(!stage.node().standing().votes);
    old.script().chosen = vec![row(1, 5, &entry(1))];
    assert!(old.propose(1, 5, &entry(1)).await.is_err());
    assert!(old.commit(1, 5, &entry(1)).await.is_err());
    old.beat(5, 1).await;
    until(|| stage.applied() == 1).await;
    assert!(old.propose(2, 5, &entry(2)).await.is_err(), "it votes again");
    assert!(x.prepare(2, 6).await.is_err());
}

/// A log that is older than it was, as from a backup: a peer remembers a vote that it does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn d9_a_log_older_than_a_counted_vote_does_not_vote() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    puppets[0].script().greeting.counted = 4;
    puppets[0].greet().await;
    puppets[1].probe().await;
    assert!(stage.node().standing().votes, "the vote is there");
    puppets[0].script().greeting.counted = 7;
    puppets[0].greet().await;
    stage.until(|node| !node.standing().votes).await;
    assert!(puppets[1].prepare(1, 5).await.is_err());
    puppets[0].script().greeting.counted = 0;
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert!(!stage.node().standing().votes, "it was not recorded");
}

/// The store holds rounds that the log does not: the log is not the one that was written with it.
#[tokio::test(flavor = "multi_thread")]
async fn d9_a_log_older_than_its_store_does_not_vote() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    stage.log_disk().ignore_syncs(true);
    for round in 1..=3 {
        puppets[0].commit(round, 4, &entry(round)).await.unwrap();
    }
    stage.until(|node| node.standing().durable == 3).await;
    stage.crash(Unsynced::Lost).await;
    stage.log_disk().ignore_syncs(false);
    stage.restart(&puppets).await;
    assert!(!stage.node().standing().votes);
    assert!(puppets[1].prepare(4, 5).await.is_err());
}

/// Alone there is nobody to follow: the node does not start, and says what is lost.
#[tokio::test(flavor = "multi_thread")]
async fn d9_alone_a_lost_log_is_an_error() {
    let mut cluster = Cluster::<Item>::start(1).await.unwrap();
    cluster.node(0).put_record(item(1)).await.unwrap();
    cluster.crash(0).await;
    cluster.lose_log(0);
    let error = cluster.restart(0).await.unwrap_err().to_string();
    assert!(error.contains("consensus log is gone") && error.contains("restore this directory"), "{error}");
}

/// A learner campaigns as little as it votes.
#[tokio::test(flavor = "multi_thread")]
async fn d9_a_learner_does_not_campaign() {
    let (mut stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.crash(Unsynced::Lost).await;
    stage.lose_log();
    stage.restart(&puppets).await;
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    let over = std::time::Instant::now() + 5 * stage.tuning.timing.silence;
    while std::time::Instant::now() < over {
        puppets[0].probe().await;
    }
    for puppet in &mut puppets {
        assert!(puppet.asked_by_now().is_empty());
    }
}
