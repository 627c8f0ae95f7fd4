//! What of the acceptor log is kept in memory. It changes only after a commit (D4), so whatever it says is durable.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use libp2p::PeerId;

use super::layout::{Accepted, PeerRow};
use crate::command::Entry;
use crate::consensus::id::{Ballot, Epoch, Round};

/// The durable state of one epoch's acceptor: small, whatever the length of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    /// The epochs before this one that have rows, each with the round of its seal.
    pub(super) sealed: BTreeMap<u64, Round>,
    pub(super) epoch: u64,
    /// The greatest ballot promised or accepted.
    pub(super) ballot: Ballot,
    /// Every row at or below this round is chosen and present.
    pub(super) chosen: Round,
    /// What was accepted above `chosen`.
    pub(super) accepted: BTreeMap<Round, (Ballot, Entry)>,
    /// Who was met, and whose votes were counted.
    pub(super) peers: HashMap<PeerId, PeerRow>,
}

impl Mirror {
    /// The greatest ballot that this node durably promised or accepted.
    pub(crate) fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The round through which this node's log holds every chosen entry, without a gap.
    pub(crate) fn chosen(&self) -> Round {
        self.chosen
    }

    /// The epoch in which this node is.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// The chosen rounds from `from` on, an epoch at a time.
    pub(super) fn chosen_from(&self, from: Round) -> Vec<(u64, RangeInclusive<Round>)> {
        let mut next = from;
        let epochs = self.sealed.iter().map(|(epoch, seal)| (*epoch, *seal)).chain([(self.epoch, self.chosen)]);
        let span = |(epoch, through): (u64, Round)| {
            let rounds = next..=through;
            next = next.max(through.saturating_add(1));
            (!rounds.is_empty()).then_some((epoch, rounds))
        };
        epochs.filter_map(span).collect()
    }

    /// What this node accepted at or above `round` and does not know to be chosen.
    pub(crate) fn accepted_from(&self, round: Round) -> impl Iterator<Item = Accepted> + '_ {
        self.accepted.range(round..).map(|(&round, (ballot, entry))| Accepted {
            round,
            ballot: *ballot,
            entry: entry.clone(),
        })
    }

    /// What is remembered of a peer that was met.
    pub(crate) fn peer(&self, peer: &PeerId) -> Option<PeerRow> {
        self.peers.get(peer).copied()
    }

    pub(super) fn accept(&mut self, round: Round, ballot: Ballot, entry: Entry) {
        self.ballot = self.ballot.max(ballot);
        if round <= self.chosen || self.accepted.get(&round).is_some_and(|(stored, _)| *stored >= ballot) {
            return;
        }
        self.accepted.insert(round, (ballot, entry));
    }

    pub(super) fn choose(&mut self, through: Round) {
        self.chosen = self.chosen.max(through);
        self.accepted = self.accepted.split_off(&(self.chosen + 1));
    }
}
