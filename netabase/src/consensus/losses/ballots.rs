//! D6, D7 and D8: what a restart and a catch-up make of what was accepted. Losses 1 and 2.

use super::puppet::Puppet;
use super::stage::{Stage, eager, item, patient, serve, until};
use crate::consensus::fixture::{entry, row};
use crate::consensus::log::Mirror;
use crate::consensus::message::PaxosAnswer;
use crate::testing::Unsynced;

/// A candidate that crashes after its prepare left must come back under another ballot.
#[tokio::test(flavor = "multi_thread")]
async fn d6_a_ballot_is_not_used_again_after_a_restart() {
    let (mut stage, mut puppets) = Stage::start(3, 1, eager()).await;
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    let mut greatest = 0;
    for _ in 0..3 {
        let (round, ballot) = puppets[0].asked_to_promise().await.prepare();
        assert_eq!(round, 1);
        assert!(ballot > greatest, "ballot {ballot} was used before");
        greatest = ballot;
        until(|| stage.durable(Mirror::ballot) == ballot).await;
        stage.crash(Unsynced::Lost).await;
        drop(puppets[0].asked_by_now());
        stage.restart(&puppets).await;
    }
}

/// Loss 1: a leader crashes with an entry that it alone has accepted. It campaigned again under the same ballot, and
/// another entry was accepted under the same round and ballot.
#[tokio::test(flavor = "multi_thread")]
async fn loss_1_an_accepted_entry_is_proposed_again_under_a_greater_ballot() {
    let (mut stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.elect(&mut puppets).await;
    let first = tokio::spawn(stage.handle().put_record(item(0)));
    serve(&mut puppets, || first.is_finished()).await;
    let applied = stage.applied();
    let put = tokio::spawn(stage.handle().put_record(item(1)));
    let (round, ballot, proposed) = puppets[0].asked_to_accept_above(applied).await.proposal();
    drop(puppets[1].asked_to_accept_above(applied).await);
    until(|| stage.durable(|log| log.accepted_from(round).any(|row| row.entry == proposed))).await;
    stage.crash(Unsynced::Lost).await;
    assert!(put.await.unwrap().unwrap_err().may_have_happened());

    puppets.iter_mut().for_each(|puppet| drop(puppet.asked_by_now()));
    stage.restart(&puppets).await;
    let asked = (puppets[0].asked_to_promise().await, puppets[1].asked_to_promise().await);
    let (campaign, again) = asked.0.prepare();
    assert!(again > ballot, "ballot {again} after {ballot}");
    assert!(campaign <= round);
    asked.0.agree();
    asked.1.agree();
    loop {
        let asked = puppets[0].asked_to_accept().await;
        let (at, under, entry) = asked.proposal();
        assert_eq!(under, again);
        asked.agree();
        if at == round {
            assert_eq!(entry, proposed, "what it accepted there may have been chosen");
            break;
        }
    }
}

/// Loss 2: a node that had voted was caught up by a snapshot that knew nothing of its votes.
#[tokio::test(flavor = "multi_thread")]
async fn loss_2_a_node_that_catches_up_keeps_what_it_accepted() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    let (leader, other) = (&puppets[0], &puppets[1]);
    leader.prepare(1, 4).await.unwrap();
    assert_eq!(leader.propose(3, 4, &entry(3)).await, Ok(PaxosAnswer::Accepted));
    leader.script().chosen = vec![row(1, 4, &entry(1)), row(2, 4, &entry(2))];
    leader.beat(4, 2).await;
    until(|| stage.applied() == 2).await;
    let kept = vec![row(3, 4, &entry(3))];
    assert_eq!(other.prepare(3, 5).await, Ok(PaxosAnswer::Promise(kept.clone())));
    until(|| stage.durable(Mirror::chosen) == 2).await;
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert_eq!(other_answer(&stage, &puppets[1]).await, PaxosAnswer::Promise(kept));
}

async fn other_answer(stage: &Stage, other: &Puppet) -> PaxosAnswer {
    assert_eq!(stage.applied(), 2);
    other.prepare(3, 8).await.unwrap()
}

/// D7: a keeper counts its rounds from where it woke up; its peers must not notice.
#[tokio::test(flavor = "multi_thread")]
async fn d7_a_node_wakes_where_its_chosen_rows_end() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    for round in 1..=5 {
        puppets[0].propose(round, 4, &entry(round)).await.unwrap();
        assert_eq!(puppets[0].commit(round, 4, &entry(round)).await, Ok(PaxosAnswer::Committed));
    }
    puppets[0].propose(7, 4, &entry(7)).await.unwrap();
    until(|| stage.durable(Mirror::chosen) == 5).await;
    for ballot in [5, 8] {
        stage.crash(Unsynced::Lost).await;
        stage.restart(&puppets).await;
        assert_eq!(stage.applied(), 5);
        let accepted = PaxosAnswer::Promise(vec![row(7, 4, &entry(7))]);
        assert_eq!(puppets[1].prepare(6, ballot).await, Ok(accepted));
        // Rounds below its base are answered from the log, never by the keeper.
        let decided = puppets[1].prepare(3, ballot).await;
        assert!(
            matches!(&decided, Ok(PaxosAnswer::Converged { entry: Some(chosen), .. }) if *chosen == entry(3)),
            "{decided:?}"
        );
    }
    assert_eq!(puppets[1].propose(6, 8, &entry(6)).await, Ok(PaxosAnswer::Accepted));
    assert_eq!(puppets[1].commit(6, 8, &entry(6)).await, Ok(PaxosAnswer::Committed));
    until(|| stage.applied() == 6).await;
}

/// D8 in one line: what replaces a keeper's memory is not called at all.
#[test]
fn d8_nothing_is_installed_into_a_keeper() {
    let sources = [
        include_str!("../keeper.rs"),
        include_str!("../acceptor.rs"),
        include_str!("../member.rs"),
        include_str!("../member/fetch.rs"),
    ];
    assert!(sources.iter().all(|source| !source.contains(&["install", "snapshot("].join("_"))));
}
