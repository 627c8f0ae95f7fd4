//! D2, D3, D11: a leader counts nobody's vote before its own is durable; losses 3 and 7 of a cluster of one.

use futures::poll;

use super::puppet::Puppet;
use super::stage::{Stage, eager, item, serve};
use crate::consensus::message::PaxosAnswer;
use crate::testing::Unsynced;
use crate::testing::fixture::Item;

/// The leader's own promise is held: both others have promised, and still it proposes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn d2_a_campaign_is_not_won_before_the_candidate_s_own_promise_is_durable() {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.log_disk().hold_syncs(true);
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    for puppet in &mut puppets {
        puppet.asked_to_promise().await.answer(PaxosAnswer::Promise(Vec::new()));
    }
    stage.until_log_held().await;
    puppets[0].probe().await;
    for puppet in &mut puppets {
        assert!(puppet.asked_by_now().is_empty(), "it proposes without a promise of its own");
    }
    assert!(!stage.node().standing().leads);
    stage.log_disk().hold_syncs(false);
    serve(&mut puppets, || stage.node().standing().leads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_a_put_is_not_done_before_the_leader_s_own_acceptance_is_durable() {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.elect(&mut puppets).await;
    let first = tokio::spawn(stage.handle().put_record(item(1)));
    serve(&mut puppets, || first.is_finished()).await;
    first.await.unwrap().unwrap();
    let applied = stage.applied();

    stage.log_disk().hold_syncs(true);
    let put = tokio::spawn(stage.handle().put_record(item(2)));
    for puppet in &mut puppets {
        puppet.asked_to_accept_above(applied).await.answer(PaxosAnswer::Accepted);
    }
    stage.until_log_held().await;
    puppets[0].probe().await;
    assert!(!put.is_finished(), "it is acknowledged before the leader's own acceptance is durable");
    assert_eq!(stage.applied(), applied, "it is shown before it is durable on a majority");
    assert_eq!(stage.handle().get_record::<Item>(2_u64).await.unwrap(), None);
    stage.log_disk().hold_syncs(false);
    serve(&mut puppets, || put.is_finished()).await;
    put.await.unwrap().unwrap();
    assert_eq!(stage.handle().get_record::<Item>(2_u64).await.unwrap(), Some(item(2)));
}

/// Losses 3 and 7: with a quorum of itself a voter waits for nothing, so its disk is a second node.
#[tokio::test(flavor = "multi_thread")]
async fn d3_alone_nothing_is_done_or_shown_before_it_is_durable() {
    let (stage, _) = Stage::start(1, 0, eager()).await;
    let stranger = Puppet::stranger(&stage);
    stage.until(|node| node.standing().leads).await;
    stage.handle().put_record(item(1)).await.unwrap();
    let applied = stage.applied();

    stage.log_disk().hold_syncs(true);
    let mut put = Box::pin(stage.handle().put_record(item(2)));
    assert!(poll!(put.as_mut()).is_pending());
    stage.until_log_held().await;
    for _ in 0..20 {
        assert!(!stranger.is_greeted().await, "it knows no stranger");
    }
    assert!(poll!(put.as_mut()).is_pending(), "it is acknowledged before it is durable");
    assert_eq!(stage.applied(), applied);
    assert_eq!(stage.handle().get_record::<Item>(2_u64).await.unwrap(), None, "it is shown before it is durable");
    stage.log_disk().hold_syncs(false);
    put.await.unwrap();
    assert_eq!(stage.handle().get_record::<Item>(2_u64).await.unwrap(), Some(item(2)));
}

/// Loss 3 as it was found: every acknowledgement of a node alone is on its disk when the power goes.
#[tokio::test(flavor = "multi_thread")]
async fn loss_3_alone_what_was_acknowledged_survives_the_power() {
    let (mut stage, _) = Stage::start(1, 0, eager()).await;
    for cut in 0..5 {
        for step in 0..20 {
            stage.handle().put_record(item(cut * 20 + step)).await.unwrap();
        }
        stage.crash(Unsynced::Torn { seed: cut }).await;
        stage.restart(&[]).await;
        for id in 0..(cut + 1) * 20 {
            assert_eq!(stage.handle().get_record::<Item>(id).await.unwrap(), Some(item(id)), "after cut {cut}");
        }
    }
}

/// A leader whose proposals nobody accepts acknowledges nothing.
#[tokio::test(flavor = "multi_thread")]
async fn d11_nothing_is_acknowledged_before_it_is_applied() {
    let (stage, mut puppets) = Stage::start(3, 2, eager()).await;
    stage.elect(&mut puppets).await;
    let applied = stage.applied();
    let put = tokio::spawn(stage.handle().put_record(item(1)));
    let kept = (puppets[0].asked_to_accept_above(applied).await, puppets[1].asked_to_accept_above(applied).await);
    puppets[0].probe().await;
    assert!(!put.is_finished());
    assert_eq!(stage.applied(), applied);
    kept.0.agree();
    serve(&mut puppets, || put.is_finished()).await;
    let receipt = put.await.unwrap().unwrap();
    assert!(receipt.round().is_some_and(|round| round <= stage.applied()));
    kept.1.agree();
}

/// A sync that does not end must not look like a leader that is alive (D13).
#[tokio::test(flavor = "multi_thread")]
async fn d13_a_leader_whose_disk_is_stuck_stops_beating() {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.elect(&mut puppets).await;
    puppets.iter().for_each(|puppet| puppet.script().agrees = false);
    stage.log_disk().hold_syncs(true);
    let put = tokio::spawn(stage.handle().put_record(item(1)));
    serve(&mut puppets, || !stage.node().standing().leads).await;
    let beats = puppets[0].script().beats.len();
    puppets[0].probe().await;
    assert_eq!(puppets[0].script().beats.len(), beats);
    assert!(!put.is_finished());
    stage.log_disk().hold_syncs(false);
}
