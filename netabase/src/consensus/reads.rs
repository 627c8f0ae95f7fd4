//! Linearizable reads on their way to a read index: a pure rule over readers and answers; it sends nothing itself.
//!
//! ```text
//!           ┌──────────── nobody agreed, another ballot, another leader ────────────┐
//!           ▼                                                                       │
//! join ─▶ waiting ─▶ asked: of the voters (the leader), of the leader (a follower) ─┴─▶ settled ─▶ applied here: read
//! ```
//!
//! Must hold: a reader joins only what is asked after it came, and whoever waits then shares it; its index is at least
//! what was known to be decided when that was asked; only a voter that has said nothing above the leader's ballot counts
//! for it, and the leader itself is one of the majority. Driven by the member (`member::confirm`); no disk is involved.

mod queue;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

pub(crate) use self::queue::{ReadInbox, ReadQueue, Reader};
use super::id::{Ballot, Round};

/// Readers that may be under way at once; more are told that it is too many.
pub(crate) const READERS_MAX: usize = 16_384;
/// Pause after an answer that helped nobody, so that readers who start over do not ask without end.
const PAUSE: Duration = Duration::from_millis(20);

/// Who vouches for an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// A majority, for the leader of this ballot.
    Voters(Ballot),
    /// The leader, for a follower.
    Leader(PeerId),
}

/// Readers whose index is known: each reads once it is applied here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settled<R> {
    pub(crate) index: Round,
    pub(crate) readers: Vec<R>,
}

/// The readers of one node.
#[derive(Debug)]
pub(crate) struct Reads<R> {
    waiting: Vec<R>,
    asked: Option<Asked<R>>,
    settled: BTreeMap<Round, Vec<R>>,
    /// Numbers what is asked, so that no late answer counts for a later one.
    number: u64,
    not_before: Option<Instant>,
}

/// What was asked and is not answered yet.
#[derive(Debug)]
struct Asked<R> {
    number: u64,
    whom: Whom,
    index: Round,
    /// How many other voters must still agree, and how many have not answered.
    needed: usize,
    outstanding: usize,
    readers: Vec<R>,
}

impl<R> Default for Reads<R> {
    fn default() -> Self {
        Reads { waiting: Vec::new(), asked: None, settled: BTreeMap::new(), number: 0, not_before: None }
    }
}

impl<R> Reads<R> {
    /// How many readers are under way.
    pub(crate) fn len(&self) -> usize {
        let asked = self.asked.as_ref().map_or(0, |asked| asked.readers.len());
        self.waiting.len() + asked + self.settled.values().map(Vec::len).sum::<usize>()
    }

    /// How many more may come.
    pub(crate) fn room(&self) -> usize {
        READERS_MAX.saturating_sub(self.len())
    }

    pub(crate) fn join(&mut self, reader: R) {
        self.waiting.push(reader);
    }

    /// Whether something is to be asked now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.asked.is_none() && !self.waiting.is_empty() && self.not_before.is_none_or(|after| after <= now)
    }

    /// When something is to be asked, if nothing changes.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.asked.is_none() && !self.waiting.is_empty())
    }

    /// Everybody who waits now shares this confirm: `index` is what is known to be decided at this moment, `needed` of
    /// `others` must agree besides the leader. Returns its number.
    pub(crate) fn ask_voters(&mut self, ballot: Ballot, index: Round, needed: usize, others: usize) -> u64 {
        self.ask(Whom::Voters(ballot), index, needed, others)
    }

    /// Everybody who waits now shares this question. Returns its number.
    pub(crate) fn ask_leader(&mut self, leader: PeerId) -> u64 {
        self.ask(Whom::Leader(leader), 0, 0, 1)
    }

    fn ask(&mut self, whom: Whom, index: Round, needed: usize, outstanding: usize) -> u64 {
        self.start_over();
        self.number += 1;
        self.not_before = None;
        let readers = std::mem::take(&mut self.waiting);
        self.asked = Some(Asked { number: self.number, whom, index, needed, outstanding, readers });
        self.number
    }

    /// Alone there is nobody to ask.
    pub(crate) fn settle_waiting(&mut self, index: Round) -> Option<Settled<R>> {
        let readers = std::mem::take(&mut self.waiting);
        (!readers.is_empty()).then_some(Settled { index, readers })
    }

    /// A voter answered the confirm of this number with the greatest ballot that it has spoken under, or did not answer;
    /// `own` is the leader's own. Returns the readers that a majority has confirmed by that.
    pub(crate) fn on_word(
        &mut self,
        now: Instant,
        number: u64,
        promised: Option<Ballot>,
        own: Ballot,
    ) -> Option<Settled<R>> {
        let asked = self.asked.as_mut().filter(|asked| asked.number == number)?;
        let Whom::Voters(ballot) = asked.whom else { return None };
        asked.outstanding = asked.outstanding.saturating_sub(1);
        if promised.is_some_and(|promised| promised <= ballot) {
            asked.needed = asked.needed.saturating_sub(1);
        }
        if own > ballot || asked.needed > asked.outstanding {
            // Another leads, or too many do not answer.
            self.pause(now);
            return None;
        }
        if asked.needed > 0 {
            return None;
        }
        self.asked.take().map(|Asked { index, readers, .. }| Settled { index, readers })
    }

    /// The leader named an index.
    pub(crate) fn on_index(&mut self, number: u64, index: Round) -> Option<Settled<R>> {
        let asked = self.asked.take_if(|asked| asked.number == number && matches!(asked.whom, Whom::Leader(_)))?;
        Some(Settled { index, readers: asked.readers })
    }

    /// What was asked under this number came to nothing: its readers start over, after a moment.
    pub(crate) fn on_nothing(&mut self, now: Instant, number: u64) {
        if self.asked.as_ref().is_some_and(|asked| asked.number == number) {
            self.pause(now);
        }
    }

    fn pause(&mut self, now: Instant) {
        self.start_over();
        self.not_before = Some(now + PAUSE);
    }

    /// Only these can answer by now: readers that asked others start over at once.
    pub(crate) fn only(&mut self, whom: Option<Whom>) {
        if self.asked.as_ref().is_some_and(|asked| Some(asked.whom) != whom) {
            self.start_over();
        }
    }

    fn start_over(&mut self) {
        if let Some(mut asked) = self.asked.take() {
            asked.readers.append(&mut self.waiting);
            self.waiting = asked.readers;
        }
    }

    /// Takes the readers that wait and fit.
    pub(crate) fn take_waiting(&mut self, fits: impl FnMut(&mut R) -> bool) -> Vec<R> {
        self.waiting.extract_if(.., fits).collect()
    }

    /// Takes the readers that fit wherever they are.
    pub(crate) fn take(&mut self, mut fits: impl FnMut(&mut R) -> bool) -> Vec<R> {
        let mut taken: Vec<R> = self.waiting.extract_if(.., &mut fits).collect();
        let asked = self.asked.as_mut().map(|asked| &mut asked.readers);
        for readers in asked.into_iter().chain(self.settled.values_mut()) {
            taken.extend(readers.extract_if(.., &mut fits));
        }
        taken
    }

    /// These read once their index is applied.
    pub(crate) fn settle(&mut self, settled: Settled<R>) {
        self.settled.entry(settled.index).or_default().extend(settled.readers);
    }

    /// Takes the readers that may read now.
    pub(crate) fn on_applied(&mut self, applied: Round) -> impl Iterator<Item = R> + use<R> {
        let later = match applied.checked_add(1) {
            Some(next) if !self.settled.is_empty() => self.settled.split_off(&next),
            _ => BTreeMap::new(),
        };
        std::mem::replace(&mut self.settled, later).into_values().flatten()
    }
}
