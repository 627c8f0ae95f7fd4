//! A leader that stops hands its leadership over, and only the leader that a voter follows can tell it to campaign.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use tokio::task::JoinHandle;

use super::puppet::Puppet;
use super::stage::{DEADLINE, Stage, eager, item, patient, serve, until};
use crate::error::{Error, Result};
use crate::testing::Cluster;
use crate::testing::fixture::Item;

/// The node of the stage leads, and knows how far its voters are.
async fn led(applied: [u64; 2]) -> (Stage, Vec<Puppet>) {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    for (puppet, applied) in puppets.iter().zip(applied) {
        puppet.script().applied = applied;
    }
    stage.elect(&mut puppets).await;
    puppets.iter().for_each(|puppet| puppet.script().agrees = false);
    let heard_of = |peer| stage.node().standing().peers.get(&peer).copied().flatten().is_some();
    serve(&mut puppets, || (1..3).all(|place| heard_of(stage.peer(place)))).await;
    (stage, puppets)
}

fn stop(stage: &Stage) -> JoinHandle<Result<()>> {
    let node = Arc::clone(stage.node());
    tokio::spawn(async move { node.shut_down().await })
}

fn told(puppets: &[Puppet]) -> Vec<usize> {
    puppets.iter().map(|puppet| puppet.script().told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_voter_farthest_along_is_told_and_nobody_else() {
    for (applied, expected) in [([5, 4], [1, 0]), ([4, 5], [0, 1])] {
        let (stage, mut puppets) = led(applied).await;
        puppets.iter().for_each(|puppet| puppet.script().succeeds = true);
        let (began, stopping) = (Instant::now(), stop(&stage));
        serve(&mut puppets, || stopping.is_finished()).await;
        stopping.await.unwrap().unwrap();
        assert_eq!(told(&puppets), expected);
        assert!(began.elapsed() < DEADLINE / 2, "that nobody succeeds it does not keep it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_one_is_told_when_the_first_refuses() {
    let (stage, mut puppets) = led([5, 4]).await;
    let stopping = stop(&stage);
    serve(&mut puppets, || stopping.is_finished()).await;
    stopping.await.unwrap().unwrap();
    assert_eq!(told(&puppets), [1, 1]);
}

/// What is open when the leader is told to stop is brought to its end first; nothing new is begun.
#[tokio::test(flavor = "multi_thread")]
async fn open_rounds_are_closed_before_anybody_is_told() {
    let (stage, mut puppets) = led([0, 0]).await;
    let first = tokio::spawn(stage.handle().put_record(item(1)));
    serve(&mut puppets, || first.is_finished()).await;
    first.await.unwrap().unwrap();
    let applied = stage.applied();
    let put = tokio::spawn(stage.handle().put_record(item(2)));
    let kept = [puppets[0].asked_to_accept_above(applied).await, puppets[1].asked_to_accept_above(applied).await];
    puppets.iter().for_each(|puppet| puppet.script().succeeds = true);
    let stopping = stop(&stage);
    until(|| matches!(stage.handle().put_record(item(3)).now_or_never(), Some(Err(Error::ShutDown)))).await;
    puppets[0].probe().await;
    assert_eq!(told(&puppets), [0, 0]);
    kept.into_iter().for_each(|asked| asked.agree());
    serve(&mut puppets, || stopping.is_finished()).await;
    put.await.unwrap().unwrap();
    stopping.await.unwrap().unwrap();
    assert_eq!(told(&puppets).iter().sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_that_is_followed_can_tell_to_campaign() {
    let (_stage, mut puppets) = Stage::start(3, 0, patient()).await;
    // Voter 1 has ballots 1, 4, 7, …; voter 2 has 2, 5, 8, ….
    assert!(!puppets[0].tell_to_succeed(4, 0).await, "nobody leads");
    puppets[0].prepare(1, 4).await.unwrap();
    assert!(!puppets[0].tell_to_succeed(4, 0).await, "nobody was heard to lead");
    puppets[0].beat(4, 0).await;
    for (puppet, ballot) in [(1, 4), (1, 5), (0, 1), (0, 7)] {
        assert!(!puppets[puppet].tell_to_succeed(ballot, 0).await, "puppet {puppet} under {ballot}");
    }
    puppets[1].prepare(1, 5).await.unwrap();
    assert!(!puppets[0].tell_to_succeed(4, 0).await, "somebody else was promised");
    puppets[1].beat(5, 0).await;
    puppets[1].probe().await;
    assert!(puppets[0].asked_by_now().is_empty() && puppets[1].asked_by_now().is_empty());
    assert!(puppets[1].tell_to_succeed(5, 0).await);
    let (_, ballot) = puppets[0].asked_to_promise().await.prepare();
    assert!(ballot > 5 && ballot % 3 == 0, "{ballot}");
    assert!(!puppets[1].tell_to_succeed(5, 0).await, "it campaigns already");
}

/// A node that has no vote cannot lead.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_does_not_campaign_for_anybody() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    stage.crash(crate::testing::Unsynced::Lost).await;
    stage.lose_log();
    stage.restart(&puppets).await;
    assert!(!stage.node().standing().votes);
    puppets[0].beat(4, 0).await;
    assert!(!puppets[0].tell_to_succeed(4, 0).await);
}

/// On its way out a node starts no campaign of its own, however long nobody leads.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_leaves_does_not_come_back() {
    let (stage, mut puppets) = led([1, 0]).await;
    puppets.iter().for_each(|puppet| puppet.script().succeeds = true);
    let stopping = stop(&stage);
    until(|| told(&puppets) == [1, 0]).await;
    for puppet in &puppets {
        let mut script = puppet.script();
        (script.agrees, script.questions) = (true, 0);
        script.promised = script.beats.last().copied().unwrap_or(0) + 1;
    }
    serve(&mut puppets, || !stage.node().standing().leads).await;
    serve(&mut puppets, || stopping.is_finished()).await;
    stopping.await.unwrap().unwrap();
    assert!(puppets.iter().all(|puppet| puppet.script().questions == 0), "it asks whether it may lead");
}

/// A follower's commands are with the leader: it waits for what becomes of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_stops_waits_for_its_writes() {
    for _ in 0..5 {
        let mut cluster = Cluster::<Item>::start(3).await.unwrap();
        let place = (cluster.leader().await.unwrap() + 1) % 3;
        let follower = cluster.node(place);
        follower.put_record(item(0)).await.unwrap();
        let writes: Vec<_> = (1..500).map(|id| tokio::spawn(follower.put_record(item(id)))).collect();
        while cluster.running(place).submitter.is_idle() && !writes.iter().any(JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        cluster.stop(place).await.unwrap();
        for write in writes {
            let written = write.await.unwrap();
            assert!(matches!(written, Ok(_) | Err(Error::ShutDown)), "{written:?}");
        }
        cluster.shutdown().await.unwrap();
    }
}
