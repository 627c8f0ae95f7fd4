//! Rounds that are far away, and entries that no honest node would make.

use bytes::Bytes;

use super::isolated::isolated;
use super::siege::Siege;
use crate::command::{Entry, EntryId};
use crate::consensus::guard::ROUNDS_AHEAD;
use crate::consensus::message::{PaxosAnswer, PaxosRequest};
use crate::network::Channel;

fn entry(n: u64, body: Vec<u8>) -> Entry {
    let mut id = [7; 24];
    id[16..].copy_from_slice(&n.to_be_bytes());
    Entry { id: EntryId::from_bytes(id), body: Bytes::from(body) }
}

#[test]
fn far_ahead_are_not_kept() {
    isolated("rounds::far_ahead_are_not_kept", async || {
        let mut siege = Siege::start().await;
        let body = vec![1; 200 << 10];
        for far in [ROUNDS_AHEAD + 100, 10_000_000, u64::MAX / 2, u64::MAX - 1_000_000] {
            let ballot = siege.voter.papers.own_above(siege.voter.papers.seen());
            let round = siege.applied().await + far;
            for n in 0..500 {
                let entry = entry(n, body.clone());
                let round = round + n;
                let request = match n % 4 {
                    0 => PaxosRequest::Commit { round, ballot, entry },
                    1 => PaxosRequest::Propose { round, ballot, entry },
                    2 => PaxosRequest::CommitById { round, ballot, id: entry.id },
                    _ => PaxosRequest::Prepare { round, ballot },
                };
                assert_eq!(siege.voter.paxos_both(request).await, [None, None]);
            }
            siege.stands(&format!("rounds {far} ahead")).await;
            // A new leader first asks its peers for what is said to be decided; this one never says.
            siege.voter.conduct(|_, asked| {
                matches!(asked, super::voter::Asked::Sync(_)).then_some(super::voter::Say::Nothing)
            });
            siege.voter.depose(siege.applied().await + 1).await;
            siege.stands(&format!("an election after rounds {far} ahead")).await;
            siege.voter.behave();
            assert!(siege.pages_asked_for().await <= 5, "rounds {far} ahead are sought for ever");
        }
        for round in [0, u64::MAX] {
            let ballot = siege.voter.papers.own_above(siege.voter.papers.seen());
            for request in [
                PaxosRequest::Prepare { round, ballot },
                PaxosRequest::Propose { round, ballot, entry: entry(1, Vec::new()) },
                PaxosRequest::Commit { round, ballot, entry: entry(1, Vec::new()) },
                PaxosRequest::CommitById { round, ballot, id: entry(1, Vec::new()).id },
            ] {
                siege.voter.paxos_both(request).await;
            }
            siege.stands(&format!("round {round}")).await;
        }
        siege.end().await;
    });
}

/// What an elected voter may propose is bounded, and closed by the next leader.
#[test]
fn open_rounds_are_closed_by_the_next_leader() {
    isolated("rounds::open_rounds_are_closed_by_the_next_leader", async || {
        let mut siege = Siege::start().await;
        for (what, body) in [
            ("no batch at all", b"\xffnonsense".to_vec()),
            ("an empty body", Vec::new()),
            ("a batch cut short", b"\x01\x00\x00\x00\xff\x01".to_vec()),
            ("a no-op", b"\x01".to_vec()),
            ("200 KiB of nonsense", vec![3; 200 << 10]),
        ] {
            let first = siege.applied().await + 1;
            siege.voter.depose(first).await;
            let ballot = siege.voter.papers.seen();
            for n in [0, 1, 5, 20, ROUNDS_AHEAD - 5] {
                let request = PaxosRequest::Propose { round: first + n, ballot, entry: entry(n, body.clone()) };
                siege.voter.paxos_both(request.clone()).await;
                // Another entry in the same round, under the same ballot, to one of them.
                let again = PaxosRequest::Propose { round: first + n, ballot, entry: entry(1_000 + n, body.clone()) };
                siege.voter.paxos(siege.peers()[0], again).await;
            }
            siege.stands(&format!("open rounds of {what}")).await;
        }
        siege.end().await;
    });
}

#[test]
fn entries_over_the_limit_and_commits_of_the_unknown_are_refused() {
    isolated("rounds::entries_over_the_limit_and_commits_of_the_unknown_are_refused", async || {
        let mut siege = Siege::start().await;
        let first = siege.applied().await + 1;
        siege.voter.depose(first).await;
        let ballot = siege.voter.papers.seen();
        let huge = entry(1, vec![1; 3 << 20]);
        for request in [
            PaxosRequest::Propose { round: first, ballot, entry: huge.clone() },
            PaxosRequest::Commit { round: first, ballot, entry: huge },
        ] {
            assert_eq!(siege.voter.paxos_both(request).await, [None, None]);
            siege.stands("an entry of 3 MiB").await;
        }
        for ahead in [1, 3, ROUNDS_AHEAD] {
            let round = siege.applied().await + ahead;
            let ballot = siege.voter.papers.own_above(siege.voter.papers.seen());
            let answers =
                siege.voter.paxos_both(PaxosRequest::CommitById { round, ballot, id: entry(2, vec![]).id }).await;
            assert!(answers.iter().flatten().all(|answer| *answer == PaxosAnswer::Unknown), "{answers:?}");
            siege.stands("a commit of an entry that nobody has").await;
        }
        siege.end().await;
    });
}

/// Paxos trusts a voter's word on what was chosen. What is believed is applied by the same rule as anything else: it
/// cannot break a node.
#[test]
fn a_commit_is_believed_and_breaks_nothing() {
    isolated("rounds::a_commit_is_believed_and_breaks_nothing", async || {
        let mut siege = Siege::start().await;
        for body in [b"\xffnonsense".to_vec(), Vec::new(), b"\x01".to_vec()] {
            // With nothing under way: two entries in one round, and the nodes would differ.
            let round = siege.settled().await + 1;
            let ballot = siege.voter.papers.own_above(siege.voter.papers.seen());
            siege.voter.paxos_both(PaxosRequest::Commit { round, ballot, entry: entry(round, body) }).await;
            siege.stands("a commit of what was never chosen").await;
        }
        let unread = siege.voter.ask_both(Channel::Paxos, Bytes::from_static(b"\xff\xff")).await;
        assert_eq!(unread, [None, None]);
        siege.end().await;
    });
}
