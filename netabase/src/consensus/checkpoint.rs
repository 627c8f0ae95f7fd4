//! What the rows of a node came to at rounds that all nodes pass, and what the voters' words of that say together.
//!
//! Must hold: a node is told to be wrong only by a majority of all voters that say the same of one round; where there is none,
//! nobody knows who is right, and nothing but that is said. Every list is bounded. Pure: who asks and who acts is `member`.

use std::collections::VecDeque;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::id::{Round, Voters};
use crate::machine::Sum;

/// Unless a test says otherwise, the rows are compared as of every round that is a multiple of this.
pub(crate) const CHECKPOINT_ROUNDS: Round = 1_024;
/// How many are remembered: nodes are at different rounds, and compare what both have passed.
pub(crate) const CHECKPOINTS_MAX: usize = 8;

/// What the rows came to as of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) round: Round,
    pub(crate) sum: Sum,
}

/// What the voters say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// A majority of the voters says this.
    Agreed(Checkpoint),
    /// Voters differ in this round, and no majority says the same.
    Differ(Round),
}

/// The last checkpoints of this node.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    every: Round,
    last: VecDeque<Checkpoint>,
}

impl Checkpoints {
    pub(crate) fn new(every: Round) -> Self {
        Checkpoints { every: every.max(1), last: VecDeque::new() }
    }

    /// A round was applied.
    pub(crate) fn on_applied(&mut self, round: Round, sum: impl FnOnce() -> Sum) {
        if round.is_multiple_of(self.every) {
            if self.last.len() == CHECKPOINTS_MAX {
                self.last.pop_front();
            }
            self.last.push_back(Checkpoint { round, sum: sum() });
        }
    }

    /// The state is another one: what was said of the one before is not said of it.
    pub(crate) fn forget(&mut self) {
        self.last.clear();
    }

    pub(crate) fn to_vec(&self) -> Vec<Checkpoint> {
        self.last.iter().copied().collect()
    }
}

/// What these voters say together, of the latest round of which anything is known. `awaited`: whether a voter that has said
/// nothing of a round may still.
pub(crate) fn weigh(
    voters: &Voters,
    said: &[(PeerId, &[Checkpoint])],
    awaited: impl Fn(&PeerId) -> bool,
) -> Option<Word> {
    let of_voters = || said.iter().filter(|(peer, _)| voters.position(peer).is_some());
    let mut rounds: Vec<Round> = of_voters().flat_map(|(_, said)| said.iter().map(|said| said.round)).collect();
    rounds.sort_unstable();
    rounds.dedup();
    for round in rounds.into_iter().rev() {
        let at = |said: &[Checkpoint]| said.iter().find(|said| said.round == round).map(|said| said.sum);
        let sums: Vec<(&PeerId, Sum)> = of_voters().filter_map(|(peer, said)| Some((peer, at(said)?))).collect();
        let says = |sum: Sum| sums.iter().filter(|(_, other)| *other == sum).count();
        if let Some((_, sum)) = sums.iter().find(|(_, sum)| says(*sum) >= voters.majority()) {
            return Some(Word::Agreed(Checkpoint { round, sum: *sum }));
        }
        let differ = sums.iter().any(|(_, sum)| says(*sum) < sums.len());
        let is_out = |voter: &PeerId| sums.iter().all(|(peer, _)| *peer != voter) && awaited(voter);
        if differ && !voters.iter().any(is_out) {
            return Some(Word::Differ(round));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(of: u8) -> Sum {
        let mut sum = Sum::default();
        sum.add(&[of], &[]);
        sum
    }

    fn at(round: Round, of: u8) -> Checkpoint {
        Checkpoint { round, sum: sum(of) }
    }

    fn word(voters: usize, said: &[&[Checkpoint]], awaited: bool) -> Option<Word> {
        let peers: Vec<PeerId> = (0..voters).map(|_| PeerId::random()).collect();
        let said: Vec<_> = peers.iter().copied().zip(said.iter().copied()).collect();
        weigh(&Voters::new(peers), &said, |_| awaited)
    }

    #[test]
    fn a_majority_of_all_voters_says_what_is_right() {
        assert_eq!(word(3, &[&[at(8, 1)], &[at(8, 2)], &[at(8, 1)]], true), Some(Word::Agreed(at(8, 1))));
        assert_eq!(word(3, &[&[at(8, 1)], &[at(8, 1)]], true), Some(Word::Agreed(at(8, 1))));
        assert_eq!(word(5, &[&[at(8, 1)], &[at(8, 1)]], true), None, "two of five are no majority");
        assert_eq!(word(5, &[&[at(8, 1)], &[at(8, 1)], &[at(8, 2)]], true), None, "two are still to come");
        assert_eq!(word(1, &[&[at(8, 1)]], true), Some(Word::Agreed(at(8, 1))));
    }

    #[test]
    fn where_no_majority_says_the_same_nobody_is_told_to_be_wrong() {
        assert_eq!(word(2, &[&[at(8, 1)], &[at(8, 2)]], true), Some(Word::Differ(8)));
        assert_eq!(word(4, &[&[at(8, 1)], &[at(8, 1)], &[at(8, 2)], &[at(8, 2)]], true), Some(Word::Differ(8)));
        assert_eq!(word(3, &[&[at(8, 1)], &[at(8, 2)]], true), None, "the third will say who is right");
        assert_eq!(word(3, &[&[at(8, 1)], &[at(8, 2)]], false), Some(Word::Differ(8)), "the third is gone");
    }

    #[test]
    fn the_latest_round_of_which_something_is_known_counts() {
        let ahead: &[Checkpoint] = &[at(8, 1), at(16, 3)];
        assert_eq!(word(3, &[ahead, &[at(8, 1)], &[at(8, 2)]], true), Some(Word::Agreed(at(8, 1))));
        assert_eq!(word(3, &[ahead, ahead, &[at(8, 2)]], true), Some(Word::Agreed(at(16, 3))));
    }

    #[test]
    fn a_stranger_has_no_voice() {
        let (voters, stranger) = (Voters::new(vec![PeerId::random(), PeerId::random()]), PeerId::random());
        let said = [at(8, 1)];
        let both = [(stranger, &said[..]), (*voters.iter().next().expect("two"), &said[..])];
        assert_eq!(weigh(&voters, &both, |_| true), None);
    }

    #[test]
    fn the_last_few_are_remembered() {
        let mut checkpoints = Checkpoints::new(4);
        for round in 1..=100 {
            checkpoints.on_applied(round, || sum(1));
        }
        let rounds: Vec<Round> = checkpoints.to_vec().iter().map(|checkpoint| checkpoint.round).collect();
        assert_eq!(rounds, (18..=25).map(|n| 4 * n).collect::<Vec<_>>());
    }
}
