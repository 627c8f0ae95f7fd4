//! D14: a vote counts from the directory that was seen first, and from no other.

use std::time::Duration;

use super::stage::{Stage, eager, item, patient, put_at_last, serve, until};
use crate::consensus::id::Incarnation;
use crate::consensus::message::PaxosAnswer;
use crate::node::Role;
use crate::node::Tuning;
use crate::testing::fixture::Item;
use crate::testing::{Cluster, Unsynced};

const OTHER: Incarnation = Incarnation([77; 16]);

/// Elected by the first puppet alone: the other one never answers.
async fn elected_by_the_first() -> (Stage, Vec<super::puppet::Puppet>) {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.elect(&mut puppets[..1]).await;
    let first = puppets[0].peer;
    until(|| stage.durable(|log| log.peer(&first)).is_some_and(|row| row.counted > 0)).await;
    (stage, puppets)
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_a_vote_from_a_replaced_directory_is_not_counted() {
    let (stage, mut puppets) = elected_by_the_first().await;
    let before = stage.applied();
    puppets[0].script().greeting.incarnation = OTHER;
    let put = tokio::spawn(stage.handle().put_record(item(1)));
    let second = puppets[1].asked_to_accept_above(before).await;
    puppets[0].asked_to_accept_above(before).await.answer(PaxosAnswer::Accepted);
    puppets[1].probe().await;
    assert_eq!(stage.applied(), before, "the vote of another life was counted");
    assert!(!put.is_finished());
    second.agree();
    serve(&mut puppets[1..], || put.is_finished()).await;
    put.await.unwrap().unwrap();
}

/// It would count its own vote, from a log that has forgotten what it promised.
#[tokio::test(flavor = "multi_thread")]
async fn d14_a_candidate_from_a_replaced_directory_is_not_voted_for() {
    let (stage, puppets) = elected_by_the_first().await;
    let ballot = stage.durable(crate::consensus::log::Mirror::ballot);
    let next = (ballot + 1..).find(|ballot| stage.voters.owner(*ballot) == Some(&puppets[0].peer)).unwrap();
    puppets[0].script().greeting.incarnation = OTHER;
    assert!(puppets[0].prepare(stage.applied() + 1, next).await.is_err());
    assert_eq!(stage.durable(crate::consensus::log::Mirror::ballot), ballot);
    puppets[0].script().greeting.incarnation = puppets_own(&stage, &puppets[0]);
    assert!(matches!(puppets[0].prepare(stage.applied() + 1, next).await, Ok(PaxosAnswer::Promise(_))));
}

fn puppets_own(stage: &Stage, puppet: &super::puppet::Puppet) -> Incarnation {
    stage.durable(|log| log.peer(&puppet.peer)).expect("it was met").incarnation
}

/// Whoever counted its votes may be down when it comes back with an empty directory, so those who only met it remember.
#[tokio::test(flavor = "multi_thread")]
async fn d14_a_directory_is_remembered_before_its_first_vote() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    let met = puppets[0].peer;
    until(|| stage.durable(|log| log.peer(&met)).is_some()).await;
    stage.crash(Unsynced::Lost).await;
    puppets[0].script().greeting.incarnation = OTHER;
    stage.restart(&puppets).await;
    let ballot = (1..).find(|ballot| stage.voters.owner(*ballot) == Some(&met)).unwrap();
    assert!(puppets[0].prepare(1, ballot).await.is_err(), "another directory than the one that was met got a vote");
    let other = (1..).find(|ballot| stage.voters.owner(*ballot) == Some(&puppets[1].peer)).unwrap();
    assert!(matches!(puppets[1].prepare(1, other).await, Ok(PaxosAnswer::Promise(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_a_node_that_is_remembered_from_another_directory_gives_up_its_vote() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    let own = puppets[0].greet().await.incarnation;
    puppets[0].script().greeting.remembered = Some(own);
    puppets[0].greet().await;
    puppets[1].probe().await;
    assert!(stage.node().standing().votes, "it is the directory that was met");
    puppets[0].script().greeting.remembered = Some(OTHER);
    puppets[0].greet().await;
    stage.until(|node| !node.standing().votes).await;
    assert!(puppets[1].prepare(1, 5).await.is_err());
    puppets[0].script().greeting.remembered = None;
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert!(!stage.node().standing().votes, "it was not recorded");
}

/// The leader holds the only whole copy of what it wrote with a node whose directory is gone: the two others must wait.
#[tokio::test(flavor = "multi_thread")]
async fn d14_a_replaced_directory_makes_no_majority_with_a_node_that_counted_none_of_its_votes() {
    let tuning = Tuning::default().request_timeout(Duration::from_secs(2));
    let mut cluster = Cluster::<Item>::start(3).tuning(tuning).await.unwrap();
    cluster.node(0).put_record(item(1)).await.unwrap();
    cluster.converged().await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let (replaced, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.crash(other).await;
    cluster.node(leader).put_record(item(2)).await.unwrap();
    cluster.crash(leader).await;
    cluster.crash(replaced).await;
    cluster.lose_directory(replaced);
    cluster.restart(other).await.unwrap();
    cluster.restart(replaced).await.unwrap();
    let handle = cluster.node(replaced);
    until(|| matches!(futures::executor::block_on(handle.status()), Ok(status) if status.role == Role::Learner)).await;
    assert!(
        cluster.node(other).put_record(item(3)).await.is_err(),
        "they elected a leader without what was acknowledged"
    );
    cluster.restart(leader).await.unwrap();
    put_at_last(&cluster, other, 4).await;
    cluster.converged().await.unwrap();
    for place in 0..3 {
        assert_eq!(cluster.node(place).get_record::<Item>(2_u64).await.unwrap(), Some(item(2)));
    }
    cluster.shutdown().await.unwrap();
}

/// A directory that was deleted: the node comes back, learns everything, and has no vote.
#[tokio::test(flavor = "multi_thread")]
async fn d14_a_node_with_a_new_directory_has_no_vote_before_the_next_epoch() {
    let tuning = Tuning::default().request_timeout(Duration::from_secs(2));
    let mut cluster = Cluster::<Item>::start(3).tuning(tuning).await.unwrap();
    for id in 0..20 {
        cluster.node(0).put_record(item(id)).await.unwrap();
    }
    let leader = cluster.leader().await.unwrap();
    let (replaced, other) = ((leader + 1) % 3, (leader + 2) % 3);
    // Both have voted for this leader: with one alone, its vote may not have been needed.
    for silent in [other, replaced] {
        cluster.crash(silent).await;
        cluster.node(leader).put_record(item(100 + silent as u64)).await.unwrap();
        cluster.restart(silent).await.unwrap();
        cluster.converged().await.unwrap();
    }
    assert_eq!(cluster.leader().await.unwrap(), leader);

    cluster.crash(replaced).await;
    cluster.crash(other).await;
    cluster.lose_directory(replaced);
    cluster.restart(replaced).await.unwrap();
    let handle = cluster.node(replaced);
    let has = |role| matches!(futures::executor::block_on(handle.status()), Ok(status) if status.role == role);
    until(|| has(Role::Learner)).await;
    assert!(cluster.node(leader).put_record(item(500)).await.is_err(), "two directories of three are not a majority");

    // With a majority there is a next epoch, and it names the new directory.
    cluster.restart(other).await.unwrap();
    put_at_last(&cluster, leader, 501).await;
    until(|| has(Role::Voter)).await;
    cluster.converged().await.unwrap();
    assert_eq!(cluster.node(replaced).get_record::<Item>(7_u64).await.unwrap(), Some(item(7)));
    cluster.crash(other).await;
    put_at_last(&cluster, replaced, 502).await;
    cluster.restart(other).await.unwrap();
    cluster.converged().await.unwrap();
    cluster.shutdown().await.unwrap();
}
