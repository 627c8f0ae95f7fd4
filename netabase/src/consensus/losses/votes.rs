//! D1, D5: a vote is durable before it is heard, and binds after a crash.

use super::stage::{Stage, patient};
use crate::consensus::fixture::{entry, row};
use crate::consensus::message::{PaxosAnswer, PaxosRequest};
use crate::testing::Unsynced;

#[tokio::test(flavor = "multi_thread")]
async fn d1_a_promise_is_durable_before_its_answer_leaves() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    stage.log_disk().hold_syncs(true);
    let voting = puppets[0].ask(PaxosRequest::Prepare { round: 1, ballot: 4 });
    stage.until_log_held().await;
    puppets[1].probe().await;
    assert!(voting.is_open(), "the promise left before it was durable");
    stage.log_disk().hold_syncs(false);
    assert_eq!(voting.answer().await, Ok(PaxosAnswer::Promise(Vec::new())));
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_an_acceptance_is_durable_before_its_answer_leaves() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    assert_eq!(puppets[0].prepare(1, 4).await, Ok(PaxosAnswer::Promise(Vec::new())));
    stage.log_disk().hold_syncs(true);
    let voting = puppets[0].ask(PaxosRequest::Propose { round: 1, ballot: 4, entry: entry(1) });
    stage.until_log_held().await;
    puppets[1].probe().await;
    assert!(voting.is_open(), "the acceptance left before it was durable");
    stage.log_disk().hold_syncs(false);
    assert_eq!(voting.answer().await, Ok(PaxosAnswer::Accepted));
}

/// D5: what was promised before the crash is refused to everybody else after it.
#[tokio::test(flavor = "multi_thread")]
async fn d5_a_promise_binds_after_a_power_cut() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    assert_eq!(puppets[1].prepare(1, 5).await, Ok(PaxosAnswer::Promise(Vec::new())));
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert_eq!(puppets[0].prepare(1, 4).await, Ok(PaxosAnswer::Supplanted { ballot: 5 }));
    assert_eq!(puppets[0].propose(1, 4, &entry(1)).await, Ok(PaxosAnswer::Supplanted { ballot: 5 }));
    assert_eq!(puppets[1].propose(1, 5, &entry(1)).await, Ok(PaxosAnswer::Accepted), "its owner goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_is_told_after_a_power_cut() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    puppets[0].propose(1, 4, &entry(1)).await.unwrap();
    puppets[0].propose(3, 4, &entry(3)).await.unwrap();
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    let told = PaxosAnswer::Promise(vec![row(1, 4, &entry(1)), row(3, 4, &entry(3))]);
    assert_eq!(puppets[1].prepare(1, 5).await, Ok(told));
}

/// Without the sync the same schedule loses the vote: the disk is what the tests above stand on.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_lies_loses_a_vote_and_a_peer_that_counted_it_notices() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    stage.log_disk().ignore_syncs(true);
    assert_eq!(puppets[1].prepare(1, 5).await, Ok(PaxosAnswer::Promise(Vec::new())));
    stage.crash(Unsynced::Lost).await;
    stage.log_disk().ignore_syncs(false);
    puppets[1].script().greeting.counted = 5;
    stage.restart(&puppets).await;
    stage.until(|node| !node.standing().votes).await;
}
