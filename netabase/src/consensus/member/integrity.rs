//! Whether this node holds what the others hold, and what it does when it does not.
//!
//! ```text
//! followers ─ answers to beats: what their rows came to ─▶ leader: weigh ─ its beats: the voters' word ─▶ followers: judge
//! ```
//! Must hold: a node that a majority of the voters contradicts says so durably and ends, whatever it was, before it answers
//! anybody again; it never does so on fewer words than that. One that fetches its records anew says nothing of its own, gives
//! nobody anything, and has no keeper until they are in place.

use std::collections::{BTreeMap, HashMap};

use libp2p::PeerId;

use super::Member;
use crate::consensus::checkpoint::{CHECKPOINTS_MAX, Checkpoint, Word, weigh};
use crate::consensus::id::Round;
use crate::error::{Error, Result};
use crate::machine::Sum;

/// What is known of what the voters' rows came to.
#[derive(Debug, Default)]
pub(super) struct Integrity {
    /// What each node last told this leader.
    said: HashMap<PeerId, Vec<Checkpoint>>,
    /// What this leader tells of that.
    word: Option<Word>,
    /// What a majority of the voters was last said to hold. This node may not be that far.
    agreed: BTreeMap<Round, Sum>,
    /// Of which round voters say different things, while nobody knows who is right.
    differs: Option<Round>,
    /// Whether this node fetches its records anew.
    rebuilding: bool,
}

impl Integrity {
    pub(super) fn new(rebuilding: bool) -> Self {
        Integrity { rebuilding, ..Integrity::default() }
    }

    pub(super) fn is_rebuilding(&self) -> bool {
        self.rebuilding
    }

    pub(super) fn differs(&self) -> Option<Round> {
        self.differs
    }

    /// What this leader says to those that follow it.
    pub(super) fn word(&self) -> Option<Word> {
        self.word
    }

    fn take_in(&mut self, word: Word) {
        match word {
            Word::Agreed(Checkpoint { round, sum }) => {
                self.differs = self.differs.filter(|differs| *differs > round);
                self.agreed.insert(round, sum);
                while self.agreed.len() > CHECKPOINTS_MAX {
                    self.agreed.pop_first();
                }
            }
            // What was said of an earlier round is settled by now.
            Word::Differ(round) if self.differs.max(self.agreed.keys().next_back().copied()) < Some(round) => {
                if self.differs.is_none() {
                    tracing::error!(
                        round,
                        "the voters hold different records, and no majority of them the same: find out who is right"
                    );
                }
                self.differs = Some(round);
            }
            Word::Differ(_) => {}
        }
    }

    /// A round of which a majority says something else than this node.
    fn contradicted(&self, own: &[Checkpoint]) -> Option<Round> {
        own.iter().find(|own| self.agreed.get(&own.round).is_some_and(|sum| *sum != own.sum)).map(|own| own.round)
    }
}

impl Member {
    /// What this node's rows came to, as it says it.
    pub(super) fn checkpoints(&self) -> Vec<Checkpoint> {
        if self.integrity.rebuilding { Vec::new() } else { self.seat.replica.checkpoints() }
    }

    /// A node told this leader what its rows came to.
    pub(super) fn on_checkpoints(&mut self, peer: PeerId, mut said: Vec<Checkpoint>) -> Result<()> {
        let voters = &self.seat.terms.voters;
        self.integrity.said.retain(|peer, _| voters.position(peer).is_some());
        if voters.position(&peer).is_none() {
            return Ok(());
        }
        said.truncate(CHECKPOINTS_MAX);
        self.integrity.said.insert(peer, said);
        let (me, own) = (self.seat.terms.me, self.checkpoints());
        let others = self.integrity.said.iter().filter(|(peer, _)| **peer != me);
        let mut all: Vec<(PeerId, &[Checkpoint])> = others.map(|(peer, said)| (*peer, &said[..])).collect();
        all.push((me, &own));
        self.integrity.word = weigh(voters, &all, |voter| *voter == me || self.peers.contains_key(voter));
        self.on_word(self.integrity.word)
    }

    /// What the voters say together.
    pub(super) fn on_word(&mut self, word: Option<Word>) -> Result<()> {
        if let Some(word) = word {
            self.integrity.take_in(word);
        }
        self.judge()
    }

    /// Ends this node if a majority of the voters says something else than it does.
    pub(super) fn judge(&mut self) -> Result<()> {
        let Some(round) = self.integrity.contradicted(&self.checkpoints()) else { return Ok(()) };
        tracing::error!(round, "a majority of the voters holds other records than this node, which ends");
        self.seat.mute();
        self.end_life();
        if let Err(error) = self.keepsake.quarantine(round) {
            tracing::error!(%error, "it cannot be recorded: do not start this node again without `rebuild`");
        }
        Err(Error::Quarantined { round })
    }

    /// Fetches all records from a peer, whatever is here.
    pub(super) fn fetch_anew(&mut self) {
        if let Some(peer) = self.peers_to_ask().first() {
            self.fetch_snapshot(*peer);
        }
    }

    /// All records are here anew: this node is as any other.
    pub(super) fn end_rebuilding(&mut self) -> Result<()> {
        if !self.integrity.rebuilding {
            return Ok(());
        }
        self.keepsake.release()?;
        self.integrity = Integrity::default();
        tracing::info!(round = self.seat.replica.applied(), "this node has fetched its records anew");
        Ok(())
    }
}
