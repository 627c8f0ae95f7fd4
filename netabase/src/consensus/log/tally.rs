//! How many bytes the chosen rows of the log take, about, and up to which round how many of them: what pruning goes by.
//!
//! Counted as rows come, in marks of about a mebibyte; what was there before the start is weighed once, beside everything
//! else. Until then the log looks smaller than it is, and is pruned later, never earlier.

use std::collections::VecDeque;

use crate::consensus::id::Round;

/// A mark ends after so many bytes or rows.
const MARK_BYTES: u64 = 1 << 20;
const MARK_ROWS: u64 = 4_096;
/// What a row takes beside its entry's body: key, ballot, id, and its share of a page.
const ROW_BYTES: u64 = 64;
/// What is dropped in one commit, so that votes do not wait for long.
const STEP_MARKS: usize = 4;

/// Rows up to and including a round, behind those of the mark before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    through: Round,
    bytes: u64,
    rows: u64,
}

/// The marks, oldest first; the last one still grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    marks: VecDeque<Mark>,
    pruned: Round,
}

impl Tally {
    /// A row more, of a later round than those before.
    pub(super) fn note(&mut self, round: Round, body_bytes: usize) {
        let bytes = body_bytes as u64 + ROW_BYTES;
        match self.marks.back_mut() {
            Some(mark) if mark.bytes < MARK_BYTES && mark.rows < MARK_ROWS => {
                *mark = Mark { through: round, bytes: mark.bytes + bytes, rows: mark.rows + 1 };
            }
            _ => self.marks.push_back(Mark { through: round, bytes, rows: 1 }),
        }
    }

    /// What was there before anything was noted.
    pub(super) fn prepend(&mut self, older: Tally) {
        let first = self.marks.front().copied();
        let older = older.marks.into_iter().filter(|mark| first.is_none_or(|first| mark.through < first.through));
        let marks: VecDeque<Mark> = older.chain(self.marks.drain(..)).collect();
        self.marks = marks;
        self.drop_through(self.pruned);
    }

    /// The rows at or below this round are gone.
    pub(super) fn drop_through(&mut self, round: Round) {
        self.pruned = self.pruned.max(round);
        while self.marks.front().is_some_and(|mark| mark.through <= round) {
            self.marks.pop_front();
        }
    }

    /// What the rows above a round take, up to a mark more.
    pub(super) fn bytes_above(&self, round: Round) -> u64 {
        self.marks.iter().filter(|mark| mark.through > round).map(|mark| mark.bytes).sum()
    }

    /// The round through which rows would have to go for the rest to fit; 0: it does.
    pub(super) fn excess(&self, bytes_max: u64) -> Round {
        let mut rest = self.bytes_above(0);
        let mut through = 0;
        for mark in &self.marks {
            if rest <= bytes_max {
                break;
            }
            rest -= mark.bytes;
            through = mark.through;
        }
        through
    }

    /// How far towards `wanted` one commit may prune.
    pub(super) fn step(&self, wanted: Round) -> Round {
        self.marks.get(STEP_MARKS - 1).map_or(wanted, |mark| mark.through.min(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rounds: std::ops::RangeInclusive<Round>) -> Tally {
        let mut tally = Tally::default();
        // Each is a mark of its own.
        rounds.for_each(|round| tally.note(round, 1 << 20));
        tally
    }

    const MARK: u64 = (1 << 20) + ROW_BYTES;

    #[test]
    fn what_is_too_much_is_the_oldest() {
        let tally = tally(1..=10);
        assert_eq!(tally.excess(10 * MARK), 0);
        assert_eq!(tally.excess(10 * MARK - 1), 1);
        assert_eq!(tally.excess(3 * MARK), 7);
        assert_eq!(tally.excess(0), 10);
        assert_eq!((tally.bytes_above(0), tally.bytes_above(7), tally.bytes_above(10)), (10 * MARK, 3 * MARK, 0));
        assert_eq!((tally.step(2), tally.step(9)), (2, 4));
    }

    #[test]
    fn small_rows_share_a_mark_and_many_of_them_do_not() {
        let mut tally = Tally::default();
        (1..=MARK_ROWS + 1).for_each(|round| tally.note(round, 0));
        assert_eq!(tally.marks.len(), 2);
        assert_eq!(tally.bytes_above(0), (MARK_ROWS + 1) * ROW_BYTES);
    }

    #[test]
    fn what_was_weighed_late_comes_before_and_what_is_gone_stays_gone() {
        let mut noted = tally(8..=10);
        noted.drop_through(5);
        noted.prepend(tally(1..=8));
        assert_eq!(noted.bytes_above(0), 5 * MARK, "rounds 6 to 10, each once");
        assert_eq!(noted.excess(4 * MARK), 6);
    }
}
