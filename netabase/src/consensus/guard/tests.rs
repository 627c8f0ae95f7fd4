//! Every row of "What a peer's message can do without the guard", and every way to be refused.

use super::*;
use crate::consensus::fixture::{entry, entry_of, row, voters};
use crate::consensus::paxakos_types::Types;

const ENTRY_BYTES_MAX: usize = 100;

/// At round 10 and ballot 7, of three voters.
fn guard(voters: &Voters) -> Guard<'_> {
    Guard { voters, applied: 10, ballot: 7, entry_bytes_max: ENTRY_BYTES_MAX }
}

#[test]
fn what_a_voter_may_say_passes() {
    let (voters, peers) = voters(3);
    for (ballot, owner) in [(1, 1), (2, 2), (3, 0), (7, 1), (8, 2)] {
        assert_eq!(guard(&voters).request(&peers[owner], 11, ballot), Ok(()));
    }
    // Rounds that are decided here are answered from the log, so they may be named.
    assert_eq!(guard(&voters).request(&peers[1], 1, 7), Ok(()));
}

#[test]
fn a_stranger_has_no_say() {
    let (voters, _) = voters(3);
    assert_eq!(guard(&voters).request(&PeerId::random(), 11, 7), Err(Refused::NotAVoter));
}

#[test]
fn a_poll_is_not_answered() {
    let (voters, peers) = voters(3);
    for peer in &peers {
        assert_eq!(guard(&voters).request(peer, 11, 0), Err(Refused::Poll));
    }
}

#[test]
fn a_ballot_is_its_owner_s_alone() {
    let (voters, peers) = voters(3);
    assert_eq!(guard(&voters).request(&peers[0], 11, 7), Err(Refused::ForeignBallot));
    assert_eq!(guard(&voters).request(&peers[2], 11, 7), Err(Refused::ForeignBallot));
}

/// Granted once, it would end every later election, for ever when it is logged.
#[test]
fn a_ballot_near_the_end_of_the_numbers_is_refused() {
    let (voters, peers) = voters(3);
    for ballot in [u64::MAX, u64::MAX - 1, u64::MAX - 2] {
        let owner = voters.owner(ballot).and_then(|peer| voters.position(peer)).unwrap();
        assert_eq!(guard(&voters).request(&peers[owner], 11, ballot), Err(Refused::BallotJump));
    }
    assert_eq!(guard(&voters).ballot(7 + BALLOT_JUMP_MAX), Ok(()));
    assert_eq!(guard(&voters).ballot(8 + BALLOT_JUMP_MAX), Err(Refused::BallotJump));
    let at_the_end = Guard { ballot: u64::MAX, ..guard(&voters) };
    assert_eq!(at_the_end.ballot(u64::MAX), Ok(()));
}

/// A commit or a proposal for a far round would be kept, with everything before it, until it is reached.
#[test]
fn a_far_round_is_not_passed_on() {
    let (voters, peers) = voters(3);
    assert_eq!(guard(&voters).request(&peers[1], 10 + ROUNDS_AHEAD, 7), Ok(()));
    for round in [11 + ROUNDS_AHEAD, 10_000_000, u64::MAX] {
        assert_eq!(guard(&voters).request(&peers[1], round, 7), Err(Refused::Ahead));
    }
    let at_the_end = Guard { applied: u64::MAX, ..guard(&voters) };
    assert_eq!(at_the_end.request(&peers[1], u64::MAX, 7), Ok(()));
}

#[test]
fn an_entry_is_bounded() {
    let (voters, _) = voters(3);
    let of = |bytes: usize| entry_of(1, vec![0; bytes].into());
    assert_eq!(guard(&voters).entry(&of(ENTRY_BYTES_MAX)), Ok(()));
    assert_eq!(guard(&voters).entry(&of(ENTRY_BYTES_MAX + 1)), Err(Refused::EntryTooLarge));
    let rows = [row(11, 3, &of(ENTRY_BYTES_MAX + 1))];
    assert_eq!(guard(&voters).promise(11, 7, &rows), Err(Refused::EntryTooLarge));
}

#[test]
fn a_promise_names_open_rounds_in_order_under_ballots_it_can_know() {
    let (voters, _) = voters(3);
    let guard = guard(&voters);
    let promise = |rows: &[(Round, Ballot)]| {
        let rows: Vec<AcceptedRow> = rows.iter().map(|&(round, ballot)| row(round, ballot, &entry(round))).collect();
        guard.promise(11, 7, &rows)
    };
    assert_eq!(promise(&[]), Ok(()));
    assert_eq!(promise(&[(11, 1), (12, 7), (10 + 2 * ROUNDS_AHEAD, 2)]), Ok(()));
    let out_of_range: [&[(Round, Ballot)]; 6] =
        [&[(10, 1)], &[(11 + 2 * ROUNDS_AHEAD, 1)], &[(12, 1), (11, 1)], &[(11, 1), (11, 2)], &[(11, 0)], &[(11, 8)]];
    for rows in out_of_range {
        assert_eq!(promise(rows), Err(Refused::PromiseOutOfRange), "{rows:?}");
    }
    let rows: Vec<(Round, Ballot)> = (0..=OPEN_ROUNDS_MAX as u64).map(|step| (11 + step, 1)).collect();
    assert_eq!(promise(&rows), Err(Refused::PromiseTooLong));
    assert_eq!(promise(&rows[1..]), Ok(()));
}

/// When every peer abstains, or says no, the candidate panics: no value of these types exists.
#[test]
fn nobody_can_abstain() {
    fn uninhabited(never: std::convert::Infallible) -> ! {
        match never {}
    }
    let _: fn(<Types as paxakos::Invocation>::Abstain) -> ! = uninhabited;
    let _: fn(<Types as paxakos::Invocation>::Nay) -> ! = uninhabited;
}
