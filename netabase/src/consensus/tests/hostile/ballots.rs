//! Ballots that end elections, belong to others, or drive the voters apart.

use bytes::Bytes;

use super::isolated::isolated;
use super::siege::Siege;
use crate::command::{Entry, EntryId};
use crate::consensus::guard::BALLOT_JUMP_MAX;
use crate::consensus::message::PaxosRequest;

fn junk() -> Entry {
    Entry { id: EntryId::from_bytes([9; 24]), body: Bytes::from_static(b"\x01") }
}

fn each(round: u64, ballot: u64) -> [(&'static str, PaxosRequest); 4] {
    [
        ("prepare", PaxosRequest::Prepare { round, ballot }),
        ("proposal", PaxosRequest::Propose { round, ballot, entry: junk() }),
        ("commit", PaxosRequest::Commit { round, ballot, entry: junk() }),
        ("commit by id", PaxosRequest::CommitById { round, ballot, id: junk().id }),
    ]
}

#[test]
fn that_nobody_may_use_are_not_answered() {
    isolated("ballots::that_nobody_may_use_are_not_answered", async || {
        let mut siege = Siege::start().await;
        let papers = std::sync::Arc::clone(&siege.voter.papers);
        for (whose, ballot) in [
            ("the greatest of all", u64::MAX),
            ("the greatest of one's own", papers.own_greatest()),
            ("too far a jump", papers.own_above(papers.seen() + 1_000 * BALLOT_JUMP_MAX)),
            ("0", 0),
            ("that of the one honest node", papers.of_above(&siege.peers()[0], papers.seen() + 10)),
            ("that of the other honest node", papers.of_above(&siege.peers()[1], papers.seen() + 10)),
        ] {
            for (what, request) in each(siege.applied().await + 1, ballot) {
                let answers = siege.voter.paxos_both(request).await;
                assert_eq!(answers, [None, None], "a {what} under {whose}");
                siege.stands(&format!("a {what} under {whose}")).await;
            }
        }
        siege.end().await;
    });
}

/// Told to one node only, a ballot as far ahead as may be: the others must be able to follow there, or the two could
/// never elect each other again.
#[test]
fn that_only_one_node_hears_of_drive_nobody_apart() {
    isolated("ballots::that_only_one_node_hears_of_drive_nobody_apart", async || {
        let mut siege = Siege::start().await;
        for place in [0, 1, 0] {
            let mut ballot = siege.voter.papers.seen();
            for _ in 0..5 {
                ballot = siege.voter.papers.own_above(ballot + BALLOT_JUMP_MAX - 10);
                let round = siege.applied().await + 1;
                siege.voter.paxos(siege.peers()[place], PaxosRequest::Prepare { round, ballot }).await;
            }
            siege.stands("a chain of jumps that one node heard").await;
        }
        siege.end().await;
    });
}

#[test]
fn that_are_allowed_cost_an_election_and_no_more() {
    isolated("ballots::that_are_allowed_cost_an_election_and_no_more", async || {
        let mut siege = Siege::start().await;
        for ahead in [1, 16, 17, 64] {
            siege.voter.depose(siege.applied().await + ahead).await;
            siege.stands(&format!("a prepare {ahead} rounds ahead, to both")).await;
            for place in [0, 1] {
                let round = siege.applied().await + ahead;
                let ballot = siege.voter.papers.own_above(siege.voter.papers.seen());
                siege.voter.paxos(siege.peers()[place], PaxosRequest::Prepare { round, ballot }).await;
                siege.stands(&format!("a prepare {ahead} rounds ahead, to one")).await;
            }
        }
        for ballot in [1, 2, 3, 4, 5, 6] {
            siege.voter.paxos_both(PaxosRequest::Prepare { round: siege.applied().await + 1, ballot }).await;
        }
        siege.stands("ballots of long ago").await;
        siege.end().await;
    });
}
