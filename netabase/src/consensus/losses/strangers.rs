//! What a peer's message could do to the keeper without the guard, said to a real node by a voter and by a stranger.

use super::puppet::Puppet;
use super::stage::{Stage, eager, patient, serve, until};
use crate::command::Command;
use crate::consensus::fixture::{entry, entry_of, row};
use crate::consensus::guard::{BALLOT_JUMP_MAX, OPEN_ROUNDS_MAX, ROUNDS_AHEAD};
use crate::consensus::log::Mirror;
use crate::consensus::message::{PaxosAnswer, PaxosRequest};

/// The node lives its first life and votes.
async fn is_well(stage: &Stage, puppet: &Puppet, ballot: u64) {
    assert!(matches!(puppet.prepare(stage.applied() + 1, ballot).await, Ok(PaxosAnswer::Promise(_))));
    assert_eq!(stage.node().standing().revived, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn guard_a_ballot_that_would_end_elections_is_never_granted() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    // Each of them draws the bound one jump nearer, no more.
    for ballot in [u64::MAX, u64::MAX - 1, u64::MAX - 2, 100 * BALLOT_JUMP_MAX, 100 * BALLOT_JUMP_MAX + 1] {
        for puppet in &puppets {
            assert!(puppet.prepare(1, ballot).await.is_err(), "ballot {ballot}");
            assert!(puppet.propose(1, ballot, &entry(1)).await.is_err());
            assert!(puppet.commit(1, ballot, &entry(1)).await.is_err());
        }
    }
    assert_eq!(stage.durable(Mirror::ballot), 0);
    is_well(&stage, &puppets[0], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guard_polls_foreign_ballots_far_rounds_and_large_entries_are_refused() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    let stranger = Puppet::stranger(&stage);
    assert!(!stranger.is_greeted().await);
    let large = entry_of(1, vec![0; 3 << 20].into());
    let far = [ROUNDS_AHEAD + 1, 10_000_000, u64::MAX];
    assert!(puppets[0].prepare(1, 0).await.is_err(), "a poll");
    assert!(puppets[0].prepare(1, 2).await.is_err(), "another's ballot");
    assert!(stranger.prepare(1, 1).await.is_err());
    assert!(stranger.commit(1, 1, &entry(1)).await.is_err());
    assert!(puppets[0].propose(1, 1, &large).await.is_err());
    assert!(puppets[0].commit(1, 1, &large).await.is_err());
    for round in far {
        assert!(puppets[0].prepare(round, 1).await.is_err(), "round {round}");
        assert!(puppets[0].propose(round, 1, &entry(1)).await.is_err());
        assert!(puppets[0].commit(round, 1, &entry(1)).await.is_err());
    }
    assert_eq!((stage.applied(), stage.durable(Mirror::ballot)), (0, 0));
    is_well(&stage, &puppets[0], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guard_a_commit_by_an_id_that_was_never_accepted_is_unknown() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 1).await.unwrap();
    puppets[0].propose(1, 1, &entry(1)).await.unwrap();
    let commit = |id| puppets[0].ask(PaxosRequest::CommitById { round: 1, ballot: 1, id }).answer();
    assert_eq!(commit(entry(2).id).await, Ok(PaxosAnswer::Unknown));
    assert_eq!(stage.applied(), 0);
    assert_eq!(commit(entry(1).id).await, Ok(PaxosAnswer::Committed));
    until(|| stage.applied() == 1).await;
    is_well(&stage, &puppets[0], 1).await;
}

/// Answers that a candidate cannot use: none of them counts, kills or keeps it from being elected in the end.
#[tokio::test(flavor = "multi_thread")]
async fn guard_answers_that_do_not_fit_do_not_hurt_a_candidate() {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    let too_long = (1..=OPEN_ROUNDS_MAX as u64 + 1).map(|round| row(round, 1, &entry(round))).collect();
    let answers = [
        PaxosAnswer::Accepted,
        PaxosAnswer::Committed,
        PaxosAnswer::Unknown,
        PaxosAnswer::Supplanted { ballot: u64::MAX },
        PaxosAnswer::Converged { ballot: u64::MAX, entry: None },
        PaxosAnswer::Promise(too_long),
        PaxosAnswer::Promise(vec![row(0, 1, &entry(1))]),
        PaxosAnswer::Promise(vec![row(1, u64::MAX, &entry(1))]),
        PaxosAnswer::Promise(vec![row(u64::MAX, 1, &entry(1))]),
    ];
    for answer in answers {
        for puppet in &mut puppets {
            puppet.asked_to_promise().await.answer(answer.clone());
        }
        assert!(!stage.node().standing().leads, "{answer:?} was counted");
    }
    serve(&mut puppets, || stage.node().standing().leads).await;
    assert!(stage.durable(Mirror::ballot) < BALLOT_JUMP_MAX);
    assert_eq!(stage.node().standing().revived, 0);
}

/// A client, and who holds an invite, are let in by the network: not as nodes. A reader could write otherwise, and an invite
/// be read from before it is used.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_node_is_not_greeted_and_neither_served_rows_nor_forwarded_for() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    let other = Puppet::stranger(&stage);
    let command = || Command::Open { nonce: [1; 16] }.encode().as_bytes().clone();
    assert!(!other.is_greeted().await);
    assert!(!other.forwards(command()).await);
    assert!(!other.is_served_rows().await);
    assert!(puppets[0].forwards(command()).await && puppets[0].is_served_rows().await);
}
