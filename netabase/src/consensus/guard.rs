//! What is checked of a peer's message before paxakos sees it: pure rules over numbers.
//!
//! paxakos trusts its peers and panics, or grows without bound, on some inputs (see each rule's test). The guard makes
//! sure that none of them reaches it: who sent it, whose ballot it is, how far the round and the ballot jump, how much is
//! in it.

use libp2p::PeerId;

use super::id::{Ballot, Round, Voters};
use super::message::AcceptedRow;
use super::paxakos_types::WINDOW;
use crate::command::Entry;

/// How many windows beyond the last applied round a message may reach; farther means that this node lags.
pub(crate) const WINDOWS_AHEAD: u64 = 4;
/// How many rounds beyond the last applied one may be open anywhere.
pub(crate) const ROUNDS_AHEAD: u64 = WINDOWS_AHEAD * WINDOW as u64;
/// The same, as a number of rows: the longest promise.
pub(crate) const OPEN_ROUNDS_MAX: usize = WINDOWS_AHEAD as usize * WINDOW;
/// How far beyond the greatest known ballot another may jump. A ballot near the end of the numbers would end elections.
pub(crate) const BALLOT_JUMP_MAX: u64 = 1 << 20;

/// Why a message does not reach paxakos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the sender is not a voter of this epoch")]
    NotAVoter,
    #[error("the ballot does not belong to the sender")]
    ForeignBallot,
    #[error("ballot 0 is not used")]
    Poll,
    #[error("the ballot jumps too far")]
    BallotJump,
    #[error("the round is farther ahead than this node can follow; it catches up first")]
    Ahead,
    #[error("the entry is larger than the limit")]
    EntryTooLarge,
    #[error("the promise is longer than what can be open")]
    PromiseTooLong,
    #[error("the promise names a round or a ballot that it cannot")]
    PromiseOutOfRange,
    #[error("the answer does not fit the request")]
    WrongAnswer,
}

/// The bounds that a message is held against, as of now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard<'a> {
    pub(crate) voters: &'a Voters,
    /// The last applied round.
    pub(crate) applied: Round,
    /// The greatest ballot known.
    pub(crate) ballot: Ballot,
    /// The largest entry body, in bytes.
    pub(crate) entry_bytes_max: usize,
}

impl Guard<'_> {
    /// A prepare, a proposal or a commit of `from`.
    pub(crate) fn request(&self, from: &PeerId, round: Round, ballot: Ballot) -> Result<(), Refused> {
        if self.voters.position(from).is_none() {
            return Err(Refused::NotAVoter);
        }
        if ballot == 0 {
            return Err(Refused::Poll);
        }
        if self.voters.owner(ballot) != Some(from) {
            return Err(Refused::ForeignBallot);
        }
        self.ballot(ballot)?;
        if round > self.applied.saturating_add(ROUNDS_AHEAD) {
            return Err(Refused::Ahead);
        }
        Ok(())
    }

    /// An entry that a peer sent.
    pub(crate) fn entry(&self, entry: &Entry) -> Result<(), Refused> {
        if entry.body.len() > self.entry_bytes_max { Err(Refused::EntryTooLarge) } else { Ok(()) }
    }

    /// A ballot that a peer names, be it its own or one that it has seen.
    pub(crate) fn ballot(&self, ballot: Ballot) -> Result<(), Refused> {
        if ballot > self.ballot.saturating_add(BALLOT_JUMP_MAX) { Err(Refused::BallotJump) } else { Ok(()) }
    }

    /// What a peer's promise to `ballot`, asked from `round` on, may hold.
    pub(crate) fn promise(&self, round: Round, ballot: Ballot, rows: &[AcceptedRow]) -> Result<(), Refused> {
        if rows.len() > OPEN_ROUNDS_MAX {
            return Err(Refused::PromiseTooLong);
        }
        let mut previous = None;
        for row in rows {
            let in_range = row.round >= round && row.round <= self.applied.saturating_add(2 * ROUNDS_AHEAD);
            let in_order = previous.is_none_or(|previous| previous < row.round);
            if !in_range || !in_order || row.ballot == 0 || row.ballot > ballot {
                return Err(Refused::PromiseOutOfRange);
            }
            previous = Some(row.round);
            self.entry(&row.entry)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
