//! What a promise demands is held against every proposal, whatever the keeper believes.

use super::*;
use crate::consensus::fixture::{accepted, entry};

/// A campaign of one of three voters: one promise of another makes a quorum.
fn campaign(ballot: Ballot, own: Vec<Accepted>) -> Mandate {
    let mut mandate = Mandate::default();
    mandate.begin(ballot, 1, own.into_iter());
    mandate
}

#[test]
fn without_a_campaign_nothing_may_be_proposed() {
    let mut mandate = Mandate::default();
    assert_eq!(mandate.check(1, 3, entry(1).id), Err(Overreach::Ballot { proposed: 3, campaigned: 0 }));
    let mut mandate = campaign(3, vec![]);
    assert!(mandate.check(1, 3, entry(1).id).is_err(), "the quorum is not complete");
    assert_eq!(mandate.admit(3, &[]), Ok(true));
    assert_eq!(mandate.check(1, 3, entry(1).id), Ok(()));
    assert_eq!(mandate.check(1, 6, entry(1).id), Err(Overreach::Ballot { proposed: 6, campaigned: 3 }));
    assert_eq!(mandate.ballot(), 3);
}

#[test]
fn the_promises_beyond_the_quorum_and_of_other_ballots_do_not_count() {
    let (x, y) = (entry(1), entry(2));
    let mut mandate = campaign(6, vec![]);
    assert_eq!(mandate.admit(3, &[accepted(1, 2, &y)]), Ok(false), "a promise to an earlier campaign");
    assert_eq!(mandate.admit(6, &[accepted(1, 1, &x)]), Ok(true));
    assert_eq!(mandate.admit(6, &[accepted(1, 2, &y)]), Ok(false), "the keeper does not see it either");
    assert_eq!(mandate.check(1, 6, y.id), Err(Overreach::Entry { round: 1 }));
    assert_eq!(mandate.check(1, 6, x.id), Ok(()));
    // Of five voters, two.
    mandate.begin(9, 2, std::iter::empty());
    assert_eq!(mandate.admit(9, &[]), Ok(true));
    assert!(mandate.check(1, 9, x.id).is_err());
    assert_eq!(mandate.admit(9, &[]), Ok(true));
    assert_eq!(mandate.admit(9, &[]), Ok(false));
    assert_eq!(mandate.check(1, 9, y.id), Ok(()));
}

#[test]
fn the_greatest_ballot_of_a_round_wins_this_node_s_own_included() {
    let (x, y, z) = (entry(1), entry(2), entry(3));
    let mut mandate = Mandate::default();
    mandate.begin(12, 2, [accepted(1, 5, &x), accepted(2, 1, &x)].into_iter());
    assert_eq!(mandate.admit(12, &[accepted(1, 4, &y), accepted(2, 2, &y), accepted(4, 2, &z)]), Ok(true));
    assert_eq!(mandate.admit(12, &[accepted(2, 3, &z), accepted(4, 1, &y)]), Ok(true));
    assert_eq!(mandate.greatest_demand(), 4);
    for (round, demanded) in [(1, &x), (2, &z), (4, &z)] {
        assert_eq!(mandate.check(round, 12, entry(9).id), Err(Overreach::Entry { round }));
        assert_eq!(mandate.check(round, 12, demanded.id), Ok(()));
    }
    assert_eq!(mandate.check(3, 12, entry(9).id), Ok(()), "nothing is known of round 3");
}

#[test]
fn a_round_admits_one_entry_a_ballot() {
    let mut mandate = campaign(3, vec![]);
    mandate.admit(3, &[]).unwrap();
    assert_eq!(mandate.check(5, 3, entry(1).id), Ok(()));
    assert_eq!(mandate.check(5, 3, entry(1).id), Ok(()), "said again");
    assert_eq!(mandate.check(5, 3, entry(2).id), Err(Overreach::Entry { round: 5 }));
}

#[test]
fn two_entries_under_one_ballot_are_a_corrupt_log() {
    let mut mandate = campaign(6, vec![accepted(3, 4, &entry(1))]);
    let torn = mandate.admit(6, &[accepted(3, 4, &entry(2))]);
    assert_eq!(torn, Err(Overreach::Torn { round: 3, ballot: 4 }));
    let mut mandate = campaign(6, vec![accepted(3, 4, &entry(1))]);
    assert_eq!(mandate.admit(6, &[accepted(3, 4, &entry(1))]), Ok(true), "the same entry is no contradiction");
}

#[test]
fn a_promise_that_contradicts_leaves_nothing_behind() {
    let mut mandate = campaign(6, vec![accepted(4, 4, &entry(1))]);
    assert!(mandate.admit(6, &[accepted(3, 5, &entry(7)), accepted(4, 4, &entry(2))]).is_err());
    assert_eq!(mandate.admit(6, &[]), Ok(true), "another promise completes the quorum");
    assert_eq!(mandate.check(3, 6, entry(8).id), Ok(()), "what the other one named is not demanded");
}

/// Loss 5 of PAXAKOS.md: node 2 holds (round 3, ballot 2, x); node 0 is elected from round 2 by {0, 1}; its append of e
/// at round 3 pauses, having read "nothing accepted"; an append at round 1 elects it again, under the same ballot, by
/// {0, 2}. paxakos then keeps x for round 3 but lets the paused append send e.
#[test]
fn loss_5_a_proposal_from_before_a_second_election_does_not_leave() {
    let (x, e) = (entry(1), entry(2));
    let mut mandate = campaign(3, vec![]);
    assert_eq!(mandate.admit(3, &[]), Ok(true), "node 1 has accepted nothing");
    // The append at round 1: another campaign under ballot 3, and node 2 promises.
    mandate.begin(3, 1, std::iter::empty());
    assert_eq!(mandate.admit(3, &[accepted(3, 2, &x)]), Ok(true));
    // The paused append goes on.
    assert_eq!(mandate.check(3, 3, e.id), Err(Overreach::Entry { round: 3 }));
    assert_eq!(mandate.check(3, 3, x.id), Ok(()));
}

/// The same the other way round: e left before the second election, so this node has accepted it under ballot 3.
#[test]
fn loss_5_a_second_election_under_a_ballot_keeps_what_was_proposed_under_it() {
    let (x, e) = (entry(1), entry(2));
    let mut mandate = campaign(3, vec![]);
    mandate.admit(3, &[]).unwrap();
    assert_eq!(mandate.check(3, 3, e.id), Ok(()));
    mandate.begin(3, 1, std::iter::once(accepted(3, 3, &e)));
    assert_eq!(mandate.admit(3, &[accepted(3, 2, &x)]), Ok(true));
    assert_eq!(mandate.check(3, 3, x.id), Err(Overreach::Entry { round: 3 }));
}

/// A leader proposes for as long as it leads, so what is applied must not be remembered; nor proposed again.
#[test]
fn applied_rounds_are_forgotten_and_closed() {
    let mut mandate = campaign(3, vec![]);
    mandate.admit(3, &[]).unwrap();
    for round in 1..=100_000 {
        mandate.forget_through(round - 1);
        assert_eq!(mandate.check(round, 3, entry(round).id), Ok(()));
    }
    assert_eq!(mandate.remembered(), 1);
    assert_eq!(mandate.check(99_999, 3, entry(1).id), Err(Overreach::Entry { round: 99_999 }));
    mandate.begin(6, 1, std::iter::empty());
    assert_eq!(mandate.remembered(), 0);
}
