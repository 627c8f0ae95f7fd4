//! What a won election demands of this node's proposals (D12).
//!
//! A quorum's promises name what was accepted under lower ballots; the leader must propose just that in those rounds.
//! paxakos derives it too, but an append that was already under way may not have seen it (loss 5), so this second,
//! independent account is held against every proposal before it leaves.
//!
//! Must hold: exactly n/2 promises count for a campaign, the very ones that paxakos counts; the greatest ballot of a
//! round wins; a proposal under another ballot than the one campaigned with never leaves.

use std::collections::BTreeMap;

use super::id::{Ballot, Round};
use super::log::Accepted;
use crate::command::EntryId;

/// A proposal that the mandate does not allow: a fault of this node, which stops the keeper.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Overreach {
    /// Proposed under a ballot that this node did not campaign with.
    #[error("a proposal under ballot {proposed}, but the last campaign used {campaigned}")]
    Ballot { proposed: Ballot, campaigned: Ballot },
    /// Another entry than the election demands.
    #[error("a proposal for round {round} that differs from what the election demands")]
    Entry { round: Round },
    /// Two promises name different entries under one ballot: the log of some voter is corrupt.
    #[error("two different entries were accepted in round {round} under ballot {ballot}")]
    Torn { round: Round, ballot: Ballot },
}

/// The demands of the latest campaign.
#[derive(Debug, Default)]
pub(crate) struct Mandate {
    ballot: Ballot,
    /// How many promises of others make a quorum, and how many were passed on.
    needed: usize,
    passed: usize,
    /// Rounds up to this one are applied: nothing is remembered of them, and nothing may be proposed for them.
    applied: Round,
    demands: BTreeMap<Round, (Ballot, EntryId)>,
}

impl Mandate {
    /// A campaign begins: what the node itself has accepted counts from the start.
    pub(crate) fn begin(&mut self, ballot: Ballot, needed: usize, own: impl Iterator<Item = Accepted>) {
        *self = Mandate {
            ballot,
            needed,
            passed: 0,
            applied: 0,
            demands: own.map(|row| (row.round, (row.ballot, row.entry.id))).collect(),
        };
    }

    /// Takes a promise into account; `Ok(false)` when the quorum was already complete and it must not be passed on.
    pub(crate) fn admit(&mut self, ballot: Ballot, promise: &[Accepted]) -> Result<bool, Overreach> {
        if ballot != self.ballot || self.passed >= self.needed {
            return Ok(false);
        }
        // All or nothing: of a promise that is not passed on, no row may be demanded.
        for row in promise {
            if let Some(&(known, id)) = self.demands.get(&row.round)
                && known == row.ballot
                && id != row.entry.id
            {
                return Err(Overreach::Torn { round: row.round, ballot: known });
            }
        }
        for row in promise {
            match self.demands.get(&row.round) {
                Some(&(known, _)) if known >= row.ballot => {}
                _ => {
                    self.demands.insert(row.round, (row.ballot, row.entry.id));
                }
            }
        }
        self.passed += 1;
        Ok(true)
    }

    /// Whether this proposal may leave. From then on its round admits no other entry under this ballot.
    pub(crate) fn check(&mut self, round: Round, ballot: Ballot, id: EntryId) -> Result<(), Overreach> {
        if ballot != self.ballot || self.passed < self.needed {
            return Err(Overreach::Ballot { proposed: ballot, campaigned: self.ballot });
        }
        match self.demands.get(&round) {
            // What it demands of an applied round is forgotten.
            _ if round <= self.applied => Err(Overreach::Entry { round }),
            Some(&(_, demanded)) if demanded != id => Err(Overreach::Entry { round }),
            _ => {
                self.demands.insert(round, (ballot, id));
                Ok(())
            }
        }
    }

    /// Forgets the demands on rounds that are applied: a leader would remember every round that it ever proposed for.
    pub(crate) fn forget_through(&mut self, applied: Round) {
        if applied <= self.applied {
            return;
        }
        self.applied = applied;
        self.demands = self.demands.split_off(&(applied + 1));
    }

    /// The ballot of the latest campaign.
    pub(crate) fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// How many rounds it has something to say about.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.demands.len()
    }

    /// The greatest round that the election demands something of.
    pub(crate) fn greatest_demand(&self) -> Round {
        self.demands.keys().next_back().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
