//! Answers that lie: to the prepares and the proposals of honest nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::isolated::isolated;
use super::siege::{Siege, until};
use super::voter::{Asked, Papers, Say};
use crate::command::{Entry, EntryId};
use crate::consensus::message::{AcceptedRow, PaxosAnswer, PaxosRequest};

fn entry(n: u64, bytes: usize) -> Entry {
    let mut id = [5; 24];
    id[16..].copy_from_slice(&n.to_be_bytes());
    Entry { id: EntryId::from_bytes(id), body: Bytes::from(vec![1; bytes]) }
}

fn row(round: u64, ballot: u64) -> AcceptedRow {
    AcceptedRow { round, ballot, entry: entry(round, 1) }
}

type Answer = fn(&Papers, u64, u64) -> Say;

/// Answers to (round, ballot), whichever of the two phases asks.
const LIES: &[(&str, Answer)] = &[
    ("nothing", |_, _, _| Say::Nothing),
    ("bytes that are no message", |_, _, _| Say::This(Bytes::from_static(b"\xff\xfe\xfd"))),
    ("no bytes", |_, _, _| Say::This(Bytes::new())),
    ("a megabyte of zeros", |_, _, _| Say::This(vec![0; 1 << 20].into())),
    ("of another cluster", |papers, _, _| {
        let mut envelope = papers.wrap(PaxosAnswer::Accepted);
        envelope.cluster.0[0] ^= 1;
        Say::This(envelope.encode().unwrap())
    }),
    ("of another life", |papers, _, _| {
        let mut envelope = papers.wrap(PaxosAnswer::Promise(Vec::new()));
        envelope.incarnation.0[0] ^= 1;
        Say::This(envelope.encode().unwrap())
    }),
    ("supplanted by the greatest ballot", |papers, _, _| papers.paxos(PaxosAnswer::Supplanted { ballot: u64::MAX })),
    ("supplanted by one's own greatest ballot", |papers, _, _| {
        papers.paxos(PaxosAnswer::Supplanted { ballot: papers.own_greatest() })
    }),
    ("supplanted by ballot 0", |papers, _, _| papers.paxos(PaxosAnswer::Supplanted { ballot: 0 })),
    ("supplanted by the next ballot", |papers, _, ballot| {
        papers.paxos(PaxosAnswer::Supplanted { ballot: papers.own_above(ballot) })
    }),
    ("decided, under the greatest ballot", |papers, _, _| {
        papers.paxos(PaxosAnswer::Converged { ballot: u64::MAX, entry: None })
    }),
    ("decided for an entry, under the greatest ballot", |papers, _, _| {
        papers.paxos(PaxosAnswer::Converged { ballot: u64::MAX, entry: Some(entry(1, 1)) })
    }),
    ("decided for an entry over the limit", |papers, _, ballot| {
        papers.paxos(PaxosAnswer::Converged { ballot, entry: Some(entry(1, 3 << 20)) })
    }),
    ("decided, without saying for what", |papers, _, ballot| {
        papers.paxos(PaxosAnswer::Converged { ballot, entry: None })
    }),
    ("committed", |papers, _, _| papers.paxos(PaxosAnswer::Committed)),
    ("unknown", |papers, _, _| papers.paxos(PaxosAnswer::Unknown)),
    ("a promise that is too long", |papers, round, _| {
        papers.paxos(PaxosAnswer::Promise((0..1_000).map(|n| row(round + n, 1)).collect()))
    }),
    ("a promise of an entry over the limit", |papers, round, _| {
        papers.paxos(PaxosAnswer::Promise(vec![AcceptedRow { round, ballot: 1, entry: entry(1, 3 << 20) }]))
    }),
    ("a promise of rounds far ahead", |papers, _, _| {
        papers.paxos(PaxosAnswer::Promise(vec![row(u64::MAX, 1), row(10_000_000, 1)]))
    }),
    ("a promise of one round far ahead", |papers, round, _| {
        papers.paxos(PaxosAnswer::Promise(vec![row(round + 10_000_000, 1)]))
    }),
    ("a promise of rounds that were not asked for", |papers, round, _| {
        papers.paxos(PaxosAnswer::Promise(vec![row(0, 1), row(round.saturating_sub(1), 1)]))
    }),
    ("a promise of one round twice", |papers, round, _| {
        papers.paxos(PaxosAnswer::Promise(vec![row(round, 1), row(round, 2)]))
    }),
    ("a promise under ballot 0", |papers, round, _| papers.paxos(PaxosAnswer::Promise(vec![row(round, 0)]))),
    ("a promise under a greater ballot than asked", |papers, round, ballot| {
        papers.paxos(PaxosAnswer::Promise(vec![row(round, ballot + 1), row(round + 1, u64::MAX)]))
    }),
];

/// Forced by a lawful prepare, so that what is left is how the election goes.
async fn election_under(
    siege: &mut Siege,
    what: &str,
    mut answer: impl FnMut(&Papers, &PaxosRequest) -> Option<Say> + Send + 'static,
) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    siege.voter.conduct(move |papers, asked| {
        let Asked::Paxos(request) = asked else { return None };
        let say = answer(papers, request);
        counting.fetch_add(usize::from(say.is_some()), Ordering::Relaxed);
        say
    });
    siege.voter.depose(siege.applied().await + 1).await;
    siege.stands(what).await;
    let heard = until(async || (asked.load(Ordering::Relaxed) > 0).then_some(())).await;
    assert!(heard.is_some(), "{what}: nobody asked");
    siege.stands(what).await;
    siege.voter.behave();
}

#[test]
fn to_a_prepare_do_not_decide_an_election() {
    isolated("answers::to_a_prepare_do_not_decide_an_election", async || {
        let mut siege = Siege::start().await;
        for (what, lie) in LIES {
            election_under(&mut siege, &format!("to a prepare: {what}"), |papers, request| match request {
                PaxosRequest::Prepare { round, ballot } => Some(lie(papers, *round, *ballot)),
                _ => None,
            })
            .await;
        }
        election_under(&mut siege, "to a prepare: accepted", |papers, request| {
            matches!(request, PaxosRequest::Prepare { .. }).then(|| papers.paxos(PaxosAnswer::Accepted))
        })
        .await;
        siege.end().await;
    });
}

#[test]
fn to_a_proposal_do_not_hold_up_a_write() {
    isolated("answers::to_a_proposal_do_not_hold_up_a_write", async || {
        let mut siege = Siege::start().await;
        for (what, lie) in LIES {
            election_under(&mut siege, &format!("to a proposal: {what}"), |papers, request| match request {
                PaxosRequest::Propose { round, ballot, .. } => Some(lie(papers, *round, *ballot)),
                _ => None,
            })
            .await;
        }
        siege.end().await;
    });
}

#[test]
fn to_a_commit_do_not_matter() {
    isolated("answers::to_a_commit_do_not_matter", async || {
        let mut siege = Siege::start().await;
        for (what, lie) in LIES {
            election_under(&mut siege, &format!("to a commit: {what}"), |papers, request| match request {
                PaxosRequest::Commit { round, ballot, .. } | PaxosRequest::CommitById { round, ballot, .. } => {
                    Some(lie(papers, *round, *ballot))
                }
                // What gets it a commit by id, too.
                PaxosRequest::Propose { .. } => Some(papers.paxos(PaxosAnswer::Accepted)),
                PaxosRequest::Prepare { .. } => None,
            })
            .await;
        }
        siege.end().await;
    });
}

/// Two entries in one round under one ballot: the voter had one accepted by an honest node, and claims the other.
#[test]
fn that_contradict_what_a_candidate_holds_do_not_stop_it() {
    isolated("answers::that_contradict_what_a_candidate_holds_do_not_stop_it", async || {
        let mut siege = Siege::start().await;
        for _ in 0..3 {
            let first = siege.settled().await + 1;
            siege.voter.depose(first).await;
            let lying = siege.voter.papers.seen();
            let proposal = PaxosRequest::Propose { round: first, ballot: lying, entry: entry(1, 1) };
            assert!(siege.voter.paxos_both(proposal).await.contains(&Some(PaxosAnswer::Accepted)));
            election_under(&mut siege, "a promise of another entry under the same ballot", move |papers, request| {
                let PaxosRequest::Prepare { .. } = request else { return None };
                let torn = AcceptedRow { round: first, ballot: lying, entry: entry(2, 1) };
                Some(papers.paxos(PaxosAnswer::Promise(vec![torn])))
            })
            .await;
        }
        siege.end().await;
    });
}
