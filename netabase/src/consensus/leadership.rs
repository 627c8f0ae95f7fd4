//! Who leads, as this node sees it: a pure rule over time and messages; it sends nothing itself.
//!
//! ```text
//!            silence + jitter              majority agrees              elected
//! Following ─────────────────▶ Asking ───────────────────▶ Campaigning ─────────▶ Leading
//!     ▲  ▲                       │ somebody hears a leader      │ lost               │ a greater ballot, no majority
//!     │  └───────────────────────┘                              │                    │ heard, a stuck disk
//!     └─────────────────────────────────────────────────────────┴────────────────────┘
//! ```
//!
//! Must hold: nobody campaigns while a majority hears a leader, nor because it stood still itself; a beat under a lower ballot than this node promised is
//! not heard; a leader that a majority does not answer takes no new commands.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::id::{Ballot, Voters};

/// After a voter's word that it promised another made a leader give way, its word does not for this long: doubled each
/// time up to [`OUTBID_PAUSE_MAX`], as long as it follows no leadership of this node in between.
const OUTBID_PAUSE: Duration = Duration::from_secs(1);
const OUTBID_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How the failure detector is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Between two beats of a leader.
    pub(crate) beat: Duration,
    /// Silence after which a leader is suspected.
    pub(crate) silence: Duration,
    /// Up to this much is added at random, so that followers do not campaign at once.
    pub(crate) jitter: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            beat: Duration::from_millis(50),
            silence: Duration::from_millis(250),
            jitter: Duration::from_millis(100),
        }
    }
}

/// What this node is doing about leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Following,
    /// Asking the others whether they hear a leader.
    Asking,
    /// Its campaign is under way.
    Campaigning,
    Leading {
        ballot: Ballot,
    },
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Ask every voter whether it hears a leader.
    Ask,
    /// Send a beat to every voter.
    Beat { ballot: Ballot },
}

/// The failure detector and the role of this node.
#[derive(Debug)]
pub(crate) struct Leadership {
    timing: Timing,
    me: PeerId,
    voters: Voters,
    role: Role,
    /// Who was last heard to lead, under which ballot.
    leader: Option<(Ballot, PeerId)>,
    /// When that was; `None` once its connection closed.
    heard: Option<Instant>,
    /// When to ask, or to beat, next.
    next: Instant,
    /// When each voter last answered a beat of this node.
    answered: HashMap<PeerId, Instant>,
    /// When each voter's word that it promised another counts again, and the pause after that.
    outbid: HashMap<PeerId, (Instant, Duration)>,
    /// Voters that agree with the suspicion of this node, itself included.
    agreeing: usize,
    /// When this node last noticed that it had stood still.
    woke: Option<Instant>,
    /// Whether a beat ends the campaign that is due: it came of a suspicion, and nobody has heard of it.
    revocable: bool,
    /// Until when this node, which is to begin the epoch, may be ahead of those who are to follow it.
    expected: Option<Instant>,
    /// From 0 to 1, fresh for every wait.
    jitter: fn() -> f64,
}

impl Leadership {
    pub(crate) fn new(timing: Timing, me: PeerId, voters: Voters, now: Instant, jitter: fn() -> f64) -> Self {
        let mut leadership = Leadership {
            timing,
            me,
            voters,
            role: Role::Following,
            leader: None,
            heard: None,
            next: now,
            answered: HashMap::new(),
            outbid: HashMap::new(),
            agreeing: 0,
            woke: None,
            revocable: false,
            expected: None,
            jitter,
        };
        if leadership.voters.len() > 1 {
            leadership.wait(now, Duration::ZERO);
        }
        leadership
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Who leads, as far as this node knows.
    pub(crate) fn leader(&self, now: Instant) -> Option<PeerId> {
        match self.role {
            Role::Leading { .. } => Some(self.me),
            _ if self.suspects(now) => None,
            _ => self.leader.map(|(_, leader)| leader),
        }
    }

    /// A new epoch begins, in which this voter campaigns first.
    pub(crate) fn expect(&mut self, now: Instant, first: PeerId) {
        if first == self.me {
            self.role = Role::Campaigning;
            self.expected = Some(now + 2 * self.timing.silence);
        } else {
            // As if it had been heard: nobody else campaigns while it does.
            self.heard = Some(now);
            self.wait(now, self.timing.silence);
        }
    }

    /// Whether those who are to follow this node may not have entered the epoch yet.
    pub(crate) fn is_expected(&self, now: Instant) -> bool {
        self.role == Role::Campaigning && self.expected.is_some_and(|until| now < until)
    }

    /// This node stood still: what others said meanwhile is read first.
    pub(crate) fn on_stall(&mut self, now: Instant) {
        self.woke = Some(now);
    }

    /// Whether this node has hardly had the time to read what waits for it, since a moment that was so long after that it
    /// stood still. However often it does, that excuses a leader for so long only.
    fn is_waking(&self, now: Instant, heard: Instant) -> bool {
        let woke = self.woke.is_some_and(|woke| now.saturating_duration_since(woke) < self.timing.beat);
        woke && now.saturating_duration_since(heard) < 4 * self.timing.silence
    }

    /// When [`Leadership::act`] has something to do next.
    pub(crate) fn next(&self) -> Option<Instant> {
        match self.role {
            Role::Following | Role::Leading { .. } => Some(self.next),
            Role::Asking | Role::Campaigning => None,
        }
    }

    /// What is due.
    pub(crate) fn act(&mut self, now: Instant) -> Option<Act> {
        if now < self.next {
            return None;
        }
        match self.role {
            Role::Following if self.heard.is_some_and(|heard| self.is_waking(now, heard)) => {
                self.next = now + self.timing.beat;
                None
            }
            Role::Following => {
                self.role = Role::Asking;
                self.agreeing = 1;
                Some(Act::Ask)
            }
            Role::Leading { ballot } => {
                self.next = now + self.timing.beat;
                Some(Act::Beat { ballot })
            }
            Role::Asking | Role::Campaigning => None,
        }
    }

    /// Another voter's answer to the question; `true` when a majority agrees and this node campaigns now.
    pub(crate) fn on_agreement(&mut self) -> bool {
        if self.role != Role::Asking {
            return false;
        }
        self.agreeing += 1;
        self.campaign_if_agreed()
    }

    /// The question is out; `true` when this node needs nobody else.
    pub(crate) fn campaign_if_agreed(&mut self) -> bool {
        let agreed = self.role == Role::Asking && self.agreeing >= self.voters.majority();
        if agreed {
            self.role = Role::Campaigning;
            self.revocable = true;
        }
        agreed
    }

    /// Another voter hears a leader. If it is that leader itself, that is as good as a beat.
    pub(crate) fn on_denial(&mut self, now: Instant, peer: PeerId) {
        if self.role == Role::Asking && self.leader.is_some_and(|(_, leader)| leader == peer) {
            self.role = Role::Following;
            self.heard = Some(now);
            self.wait(now, self.timing.silence);
        }
    }

    /// From now on, others may have heard of this node's campaign.
    pub(crate) fn on_campaign_begun(&mut self) {
        self.revocable = false;
    }

    /// The leader stops and wants this node to succeed it; `true` when this node campaigns now. Only the leader that it
    /// follows can say so, under the ballot that it follows, and nobody else was promised anything since.
    pub(crate) fn on_succession(&mut self, now: Instant, from: PeerId, ballot: Ballot, promised: Ballot) -> bool {
        let follows = self.role == Role::Following && self.leader == Some((ballot, from)) && !self.suspects(now);
        if follows && promised <= ballot {
            (self.role, self.revocable) = (Role::Campaigning, false);
            return true;
        }
        false
    }

    /// Every answer to the question is in, or late.
    pub(crate) fn on_question_over(&mut self, now: Instant) {
        if self.role == Role::Asking {
            self.role = Role::Following;
            self.wait(now, self.timing.beat);
        }
    }

    /// The campaign was won: the first beat is due at once.
    pub(crate) fn on_elected(&mut self, now: Instant, ballot: Ballot) {
        self.role = Role::Leading { ballot };
        self.leader = Some((ballot, self.me));
        self.next = now;
        self.answered = self.voters.iter().map(|voter| (*voter, now)).collect();
    }

    /// The campaign was lost, or the mandate is gone.
    pub(crate) fn on_lost(&mut self, now: Instant) {
        self.role = Role::Following;
        if self.leader.is_some_and(|(_, leader)| leader == self.me) {
            self.leader = None;
            self.heard = None;
        }
        // Whoever stood in the way is given the time to be heard first.
        self.wait(now, self.timing.silence);
    }

    /// A beat arrived; `true` when its sender is followed. `promised` is the greatest ballot this node promised.
    pub(crate) fn on_beat(&mut self, now: Instant, from: PeerId, ballot: Ballot, promised: Ballot) -> bool {
        // A leader that fell silent bars nobody: it may never have been elected.
        let known = self.leader.filter(|_| !self.suspects(now)).map_or(0, |(ballot, _)| ballot);
        if ballot < promised.max(known) {
            return false;
        }
        match self.role {
            Role::Asking => self.role = Role::Following,
            Role::Campaigning if self.revocable => self.role = Role::Following,
            // Its own appends will tell it that it lost; a beat alone does not end what is under way.
            Role::Campaigning | Role::Leading { .. } => return true,
            Role::Following => {}
        }
        self.leader = Some((ballot, from));
        self.heard = Some(now);
        self.wait(now, self.timing.silence);
        true
    }

    /// The answer of a voter to this leader's beat; `true` when it names a greater ballot than this node leads under, and
    /// has not done so lately.
    pub(crate) fn on_beat_answer(&mut self, now: Instant, from: PeerId, promised: Ballot) -> bool {
        let Role::Leading { ballot } = self.role else { return false };
        if promised > ballot {
            // One voter's word, true or not, does not wear the leader out.
            let (after, pause) = self.outbid.get(&from).copied().unwrap_or((now, OUTBID_PAUSE));
            if now < after {
                return false;
            }
            self.outbid.insert(from, (now + pause, (2 * pause).min(OUTBID_PAUSE_MAX)));
            return true;
        }
        self.outbid.remove(&from);
        self.answered.insert(from, now);
        false
    }

    /// The connection to a peer closed.
    pub(crate) fn on_disconnected(&mut self, now: Instant, peer: PeerId) {
        if self.leader.is_some_and(|(_, leader)| leader == peer) {
            self.heard = None;
            if self.role == Role::Following {
                self.wait(now, Duration::ZERO);
            }
        }
    }

    /// Whether this node has not heard from a leader either: its answer to another's question.
    pub(crate) fn suspects(&self, now: Instant) -> bool {
        match self.role {
            Role::Leading { .. } => !self.is_heard(now),
            _ => self
                .heard
                .is_none_or(|heard| now.duration_since(heard) >= self.timing.silence && !self.is_waking(now, heard)),
        }
    }

    /// Whether a majority answered this leader's beats lately.
    pub(crate) fn is_heard(&self, now: Instant) -> bool {
        let lately = |answered: &Instant| {
            now.saturating_duration_since(*answered) < 2 * self.timing.silence || self.is_waking(now, *answered)
        };
        let others = self.answered.iter().filter(|(peer, answered)| **peer != self.me && lately(answered)).count();
        others + 1 >= self.voters.majority()
    }

    fn wait(&mut self, now: Instant, at_least: Duration) {
        self.next = now + at_least + self.timing.jitter.mul_f64((self.jitter)().clamp(0.0, 1.0));
    }
}

#[cfg(test)]
mod tests;
