//! D12: one election a ballot, nothing in flight, and what the election demands is what is proposed. Loss 5.

use std::time::Instant;

use super::stage::{Stage, eager, item, patient, serve, until};
use crate::consensus::fixture::{entry, row};
use crate::consensus::message::{PaxosAnswer, PaxosRequest};
use crate::consensus::paxakos_types::WINDOW;

/// What a promise names for a later round is proposed there and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn d12_what_a_promise_names_is_proposed_in_its_round() {
    let (stage, mut puppets) = Stage::start(3, 2, eager()).await;
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    let named = vec![row(1, 1, &entry(1)), row(3, 1, &entry(3))];
    puppets[0].asked_to_promise().await.answer(PaxosAnswer::Promise(named));
    let late = puppets[1].asked_to_promise().await;
    let mut proposed = Vec::new();
    while proposed.len() < 3 {
        let asked = puppets[0].asked_to_accept().await;
        let (round, _, entry) = asked.proposal();
        asked.agree();
        if proposed.last().is_none_or(|(last, _)| *last < round) {
            proposed.push((round, entry));
        }
    }
    assert_eq!(proposed[0], (1, entry(1)));
    assert_eq!(proposed[1].0, 2);
    assert_eq!(proposed[2], (3, entry(3)));
    // The quorum was complete: whatever comes now changes nothing.
    late.answer(PaxosAnswer::Promise(vec![row(4, 1, &entry(4))]));
    serve(&mut puppets, || stage.node().standing().leads).await;
    assert!(stage.applied() >= 4, "it serves after all of it, and a no-op of its own");
    assert_eq!(stage.node().standing().revived, 0);
}

/// Of several names for a round the one with the greatest ballot counts, this node's own among them.
#[tokio::test(flavor = "multi_thread")]
async fn d12_the_greatest_ballot_of_a_round_is_proposed() {
    let (stage, mut puppets) = Stage::start(5, 0, eager()).await;
    // It has accepted x in round 1 under ballot 2, for the voter at place 2.
    puppets[1].prepare(1, 2).await.unwrap();
    puppets[1].propose(1, 2, &entry(1)).await.unwrap();
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    let names = [row(1, 1, &entry(2)), row(1, 3, &entry(3))];
    for (puppet, named) in puppets.iter_mut().zip(names) {
        puppet.asked_to_promise().await.answer(PaxosAnswer::Promise(vec![named]));
    }
    let (round, _, proposed) = puppets[0].asked_to_accept().await.proposal();
    assert_eq!((round, proposed), (1, entry(3)));
    assert_eq!(stage.node().standing().revived, 0);
}

/// Two promises that contradict each other: the second does not count, and the election goes on with another one.
#[tokio::test(flavor = "multi_thread")]
async fn d12_a_promise_that_contradicts_another_one_does_not_count() {
    let (stage, mut puppets) = Stage::start(5, 0, eager()).await;
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    for (number, puppet) in (1..=2).zip(&mut puppets) {
        let torn = vec![row(1, 1, &entry(number))];
        puppet.asked_to_promise().await.answer(PaxosAnswer::Promise(torn));
    }
    for puppet in &mut puppets {
        let asked = puppet.asked_by_now();
        assert!(
            asked.iter().all(|asked| !matches!(asked.request, PaxosRequest::Propose { .. })),
            "one promise of four is no quorum"
        );
    }
    serve(&mut puppets, || stage.node().standing().leads).await;
    assert_eq!(stage.node().standing().revived, 0, "one voter's lie does not stop the keeper");
}

/// Loss 5 began with an append in flight during a campaign. A leader that is deposed drains first.
///
/// Two rounds are open, and the lower one fails: it is the round to campaign at, and only the higher one is in the way.
#[tokio::test(flavor = "multi_thread")]
async fn d12_a_campaign_waits_for_every_append_and_takes_another_ballot() {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.elect(&mut puppets).await;
    let session = tokio::spawn(stage.handle().put_record(item(0)));
    serve(&mut puppets, || session.is_finished()).await;
    let applied = stage.applied();
    let put = tokio::spawn(stage.handle().put_record(item(1)));
    let lower = (puppets[0].asked_to_accept_above(applied).await, puppets[1].asked_to_accept_above(applied).await);
    let (round, ballot, _) = lower.0.proposal();
    // So many that they are worth a round of their own while another one is open.
    let more = tokio::spawn(stage.handle().put_records((100..200).map(item)));
    let higher = (puppets[0].asked_to_accept_above(round).await, puppets[1].asked_to_accept_above(round).await);
    // Somebody else was promised more: the leader steps down, with an append in flight.
    for puppet in &puppets {
        let mut script = puppet.script();
        script.promised = ballot + 1;
        script.questions = 0;
    }
    lower.0.answer(PaxosAnswer::Supplanted { ballot: ballot + 1 });
    lower.1.answer(PaxosAnswer::Supplanted { ballot: ballot + 1 });
    stage.until(|node| !node.standing().leads).await;
    // It has asked, and everybody agrees; nothing is open at the round to campaign at.
    until(|| puppets.iter().all(|puppet| puppet.script().questions > 0)).await;
    // Every question of a hundred milliseconds could begin the campaign.
    let questions = puppets[0].script().questions + 3;
    let over = Instant::now() + 3 * stage.tuning.timing.silence;
    while Instant::now() < over && puppets[0].script().questions < questions {
        puppets[0].probe().await;
    }
    let mut others = Vec::new();
    for puppet in &mut puppets {
        others.extend(puppet.asked_by_now());
    }
    // paxakos may take itself for the leader still, and propose at once instead of asking for promises first.
    let campaigns = others.iter().any(|asked| match asked.request {
        PaxosRequest::Propose { round: proposed, .. } => proposed == round,
        _ => true,
    });
    assert!(!campaigns, "it campaigns with an append in flight: {others:?}");
    higher.0.answer(PaxosAnswer::Supplanted { ballot: ballot + 1 });
    higher.1.answer(PaxosAnswer::Supplanted { ballot: ballot + 1 });
    drop(others);
    let asked = puppets[0].asked_to_promise().await;
    assert!(asked.prepare().1 > ballot + 1);
    asked.agree();
    serve(&mut puppets, || put.is_finished() && more.is_finished()).await;
    put.await.unwrap().unwrap();
    more.await.unwrap().unwrap();
}

/// An election that was lost is not tried again under its ballot.
#[tokio::test(flavor = "multi_thread")]
async fn d12_a_lost_campaign_is_followed_by_a_greater_ballot() {
    let (stage, mut puppets) = Stage::start(3, 1, eager()).await;
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    let mut last = 0;
    for _ in 0..3 {
        let asked = puppets[0].asked_to_promise().await;
        let (_, ballot) = asked.prepare();
        assert!(ballot > last);
        assert_eq!(stage.voters.owner(ballot), Some(&stage.me()));
        last = ballot + 2;
        asked.answer(PaxosAnswer::Supplanted { ballot: last });
    }
    serve(&mut puppets, || stage.node().standing().leads).await;
}

/// The last round of the leader before was decided, and this node has not heard of it: it need not wait for anybody.
/// Somebody with a greater ballot is given the time to be heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_was_merely_behind_goes_on_at_the_next_round() {
    for outbid in [false, true] {
        let (_stage, mut puppets) = Stage::start(3, 0, eager()).await;
        puppets.iter().for_each(|puppet| puppet.script().agrees = true);
        let mut first = 0;
        let asked = [puppets[0].asked_to_promise().await, puppets[1].asked_to_promise().await];
        puppets.iter().for_each(|puppet| puppet.script().questions = 0);
        for asked in asked {
            let (round, ballot) = asked.prepare();
            first = round;
            let ballot = if outbid { ballot + 1 } else { 1 };
            asked.answer(PaxosAnswer::Converged { ballot, entry: Some(entry(1)) });
        }
        let (next, _) = puppets[0].asked_to_promise().await.prepare();
        assert_eq!(next, first + 1);
        assert_eq!(puppets[0].script().questions > 0, outbid, "whether it asks before it campaigns again");
    }
}

/// Hand-over found a candidate that hung: its round was decided while its campaign waited for a proposal on its way. With
/// a decided round among those that paxakos takes for free, the campaign waited on, and kept every proposal of the next
/// leader out.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_round_is_decided_before_it_begins_does_not_hang() {
    let (stage, mut puppets) = Stage::start(3, 0, patient()).await;
    let window = WINDOW as u64;
    puppets[0].prepare(1, 4).await.unwrap();
    // One round more than may be open, and the first one last: all of them are applied at once.
    for round in (2..=window + 1).chain([1]) {
        puppets[0].commit(round, 4, &entry(round)).await.unwrap();
    }
    stage.until(|node| node.standing().applied == window + 1).await;
    puppets[0].beat(4, window + 1).await;

    let round = window + 2;
    stage.log_disk().hold_syncs(true);
    let proposal = puppets[0].ask(PaxosRequest::Propose { round, ballot: 4, entry: entry(round) });
    stage.until_log_held().await;
    assert!(puppets[0].tell_to_succeed(4, window + 1).await);
    puppets[0].probe().await;
    assert!(puppets[0].asked_by_now().is_empty(), "the proposal is on its way");
    puppets[0].commit(round, 4, &entry(round)).await.unwrap();
    stage.until(|node| node.standing().applied == round).await;
    stage.log_disk().hold_syncs(false);
    proposal.answer().await.unwrap();
    let (next, _) = puppets[0].asked_to_promise().await.prepare();
    assert_eq!(next, round + 1);
}
