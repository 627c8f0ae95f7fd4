//! The leader leaves: it hands its leadership over before it stops, so that nobody has to miss it first.
//!
//! ```text
//! takes no new commands ─▶ open rounds return ─▶ "succeed me" to the voter farthest along ─▶ its campaign
//!                                                    └ refused: the next one                     └▶ it leads: own
//!                                                                                   commands go there, then stop
//! ```
//! Must hold: one voter at a time is told, so that they do not duel; who is told campaigns by the rules of any campaign
//! (D12), and only for the leader that it follows; a leader that leaves campaigns no more; all of it ends in time. Other
//! nodes' commands that waited here are sent again by those nodes, under their numbers.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;

use super::lead::{PULSE_TIMEOUT, pulse};
use super::report::Report;
use super::{Control, Member};
use crate::consensus::id::{Ballot, Round};
use crate::consensus::leadership::Role;
use crate::consensus::log::Mirror;
use crate::consensus::message::{Pulse, PulseAnswer, PulseRequest};
use crate::network::Channel;
use crate::schema::codec;

/// How long leaving may take, all together.
const HANDOVER_TIMEOUT: Duration = Duration::from_millis(500);

/// A leader on its way out.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) deadline: Instant,
    /// Whoever asked hears of the end when this is dropped.
    _asked: Option<Control>,
    told: Vec<PeerId>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Rounds may be open.
    Draining,
    /// No round is open; what is chosen becomes durable, so that whoever misses some of it can fetch it from here.
    Settling,
    /// Nobody who was told is on its way.
    Settled,
    /// A voter was told, and has not answered.
    Asking,
    /// A voter campaigns.
    Agreed,
    /// Nobody is left to be told.
    InVain,
}

impl Member {
    /// Begins to leave. Only a leader of others has anything to hand over, and one that is stuck or deposed has not.
    pub(super) fn leave(&mut self, asked: Option<Control>) {
        self.submitter.retire();
        let now = Instant::now();
        let others = self.seat.terms.voters.len() > 1;
        let leads = matches!(self.leadership.role(), Role::Leading { .. }) && self.leadership.is_heard(now);
        let stage = if leads && others { Stage::Draining } else { Stage::InVain };
        // What waits for a round is dropped here: whoever sent it sends it again, to the next leader.
        self.proposer.step_down();
        self.handover = Some(Handover { deadline: now + HANDOVER_TIMEOUT, _asked: asked, told: Vec::new(), stage });
    }

    /// Whether this node may do anything about who leads: not one that follows on its way out.
    pub(super) fn takes_part(&self) -> bool {
        self.life.is_some() && (self.handover.is_none() || matches!(self.leadership.role(), Role::Leading { .. }))
    }

    /// Whether nothing is left to wait for before this node stops.
    pub(super) fn has_left(&self, now: Instant) -> bool {
        let Some(handover) = &self.handover else { return false };
        // Whoever leads then, what was given to it from here still has an outcome to come.
        let other_leads = self.leadership.leader(now).is_some_and(|leader| leader != self.seat.terms.me);
        let nothing_comes = if other_leads { self.submitter.is_idle() } else { handover.stage == Stage::InVain };
        nothing_comes || now >= handover.deadline
    }

    /// Tells the next voter to succeed this leader, once no round is open.
    pub(super) fn hand_over(&mut self) {
        let Role::Leading { ballot } = self.leadership.role() else { return };
        let Some(handover) = &mut self.handover else { return };
        if handover.stage == Stage::Draining && self.proposer.open() == 0 {
            handover.stage = Stage::Settling;
            let (durable, reports) = (self.seat.log.barrier(), self.reports.clone());
            tokio::task::spawn_local(async move {
                // Without its log this node ends anyway.
                let _ = durable.await;
                let _ = reports.send(Report::Settled).await;
            });
        }
        if handover.stage != Stage::Settled {
            return;
        }
        let terms = &self.seat.terms;
        let others = terms.voters.iter().filter(|peer| **peer != terms.me && !handover.told.contains(peer));
        let there = others.filter(|peer| self.acquaintances.knows(peer) && self.peers.contains_key(peer));
        let Some(&peer) = there.min_by_key(|peer| Reverse(self.peers.get(peer).copied().flatten())) else {
            handover.stage = Stage::InVain;
            return;
        };
        handover.told.push(peer);
        handover.stage = Stage::Asking;
        tracing::info!(%peer, "this leader stops, and tells a voter to succeed it");
        let request = PulseRequest::Succeed { ballot, decided: self.seat.decided() };
        let Ok(payload) = codec::encode(&Pulse::Within(self.seat.envelope(request))).map(Bytes::from) else { return };
        let answer = self.seat.network.request(peer, Channel::Heartbeat, payload, PULSE_TIMEOUT);
        let (seat, reports) = (Arc::clone(&self.seat), self.reports.clone());
        tokio::task::spawn_local(async move {
            let agrees = matches!(pulse(&seat, answer.await), Some(PulseAnswer::Succeed { agrees: true }));
            let _ = reports.send(Report::Told { agrees }).await;
        });
    }

    /// What is chosen is durable.
    pub(super) fn on_settled(&mut self) {
        self.advance(Stage::Settling, Stage::Settled);
    }

    /// Who was told to succeed this leader answered, or did not.
    pub(super) fn on_told(&mut self, agrees: bool) {
        self.advance(Stage::Asking, if agrees { Stage::Agreed } else { Stage::Settled });
    }

    fn advance(&mut self, from: Stage, to: Stage) {
        if let Some(handover) = self.handover.as_mut().filter(|handover| handover.stage == from) {
            handover.stage = to;
        }
    }

    /// The leader asks this node to succeed it. Its word is taken only under the ballot that this node follows; it is no
    /// vote: the campaign is one like any other.
    pub(super) fn succeed(&mut self, now: Instant, from: &PeerId, ballot: Ballot, decided: Round) -> PulseAnswer {
        let promised = self.seat.log.durable(Mirror::ballot);
        let agrees = self.life.is_some()
            && self.handover.is_none()
            && self.seat.terms.voters.owner(ballot) == Some(from)
            && self.leadership.on_succession(now, *from, ballot, promised);
        if agrees {
            self.seat.claim(decided);
            self.start_election(now);
        }
        PulseAnswer::Succeed { agrees }
    }
}
