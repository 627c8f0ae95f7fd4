//! The member's part in leadership, and the way of commands to the leader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;

use super::Member;
use super::STUCK;
use super::report::Report;
use crate::command::{BATCH_BYTES, COMMANDS_MAX};
use crate::consensus::election::{self, Elected};
use crate::consensus::keeper::Appended;
use crate::consensus::leadership::{Act, Role};
use crate::consensus::log::Mirror;
use crate::consensus::message::{Envelope, ForwardAnswer, ForwardRequest, Pulse, PulseAnswer, PulseRequest};
use crate::network::{Channel, RequestError};
use crate::schema::codec;

/// How long a beat or a question may take to be answered.
pub(super) const PULSE_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the leader may take to say whether it takes commands.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after the leader did not take commands.
const FORWARD_PAUSE: Duration = Duration::from_millis(20);
/// Frames of forwarded commands that may be under way; the next gathers meanwhile.
const FORWARDS_MAX: usize = 4;

/// Pause before the first of an epoch campaigns again.
const EXPECTED_PAUSE: Duration = Duration::from_millis(20);

/// Frames of forwarded commands that are under way to whoever leads now; those to a leader before hold nobody up.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    to: Option<PeerId>,
    /// Counts the leaders.
    leadership: u64,
    frames: usize,
}

impl Forwarding {
    /// Whether one more may go to this leader.
    fn has_room(&mut self, leader: PeerId) -> bool {
        if self.to != Some(leader) {
            *self = Forwarding { to: Some(leader), leadership: self.leadership + 1, frames: 0 };
        }
        self.frames < FORWARDS_MAX
    }

    pub(super) fn on_answer(&mut self, leadership: u64) {
        if leadership == self.leadership {
            self.frames = self.frames.saturating_sub(1);
        }
    }
}

impl Member {
    /// Whether this node, or its machine, stood still: then what others said meanwhile waits to be read, and silence says
    /// nothing yet.
    pub(super) fn notice_stall(&mut self) {
        let now = Instant::now();
        if now > self.awaited + self.timing.beat {
            self.leadership.on_stall(now);
        }
        self.awaited = self.awaited.max(now);
    }

    /// Does what time demands.
    pub(super) fn act(&mut self) {
        if !self.takes_part() {
            return;
        }
        let now = Instant::now();
        match self.leadership.act(now) {
            Some(Act::Ask) => self.ask(now),
            Some(Act::Beat { ballot }) => {
                let oldest = self.proposer.oldest(now);
                if self.seat.log.busy_for() > STUCK || oldest > STUCK {
                    tracing::warn!(?oldest, "this leader is stuck and lets another one lead");
                    self.step_down(now);
                } else if self.seat.log.durable(Mirror::ballot) > ballot {
                    // It promised another one itself: nobody who did follows it any more.
                    self.step_down(now);
                } else {
                    self.held = self.count_held();
                    let word = self.integrity.word();
                    self.beat(PulseRequest::Beat { ballot, decided: self.seat.decided(), held: self.held, word });
                }
            }
            None => {}
        }
    }

    fn beat(&self, request: PulseRequest) {
        let Ok(payload) = codec::encode(&Pulse::Within(self.seat.envelope(request))).map(Bytes::from) else { return };
        let epoch = self.seat.terms.epoch;
        for peer in self.audience() {
            let answer = self.seat.network.request(peer, Channel::Heartbeat, payload.clone(), PULSE_TIMEOUT);
            let (seat, reports) = (Arc::clone(&self.seat), self.reports.clone());
            tokio::task::spawn_local(async move {
                if let Some(PulseAnswer::Beat { promised, applied, durable, checkpoints, clock_ms }) =
                    pulse(&seat, answer.await)
                {
                    let beaten = Report::Beaten { epoch, peer, promised, applied, durable, checkpoints, clock_ms };
                    let _ = reports.send(beaten).await;
                }
            });
        }
    }

    /// Asks every voter whether it hears a leader.
    fn ask(&mut self, now: Instant) {
        if self.leadership.campaign_if_agreed() {
            self.start_election(now);
            return;
        }
        let Ok(payload) = codec::encode(&Pulse::Within(self.seat.envelope(PulseRequest::Suspect))).map(Bytes::from)
        else {
            return;
        };
        let mut asked = Vec::new();
        let epoch = self.seat.terms.epoch;
        for &peer in self.seat.terms.voters.iter().filter(|peer| **peer != self.seat.terms.me) {
            let answer = self.seat.network.request(peer, Channel::Heartbeat, payload.clone(), PULSE_TIMEOUT);
            let (seat, reports) = (Arc::clone(&self.seat), self.reports.clone());
            asked.push(async move {
                if let Some(PulseAnswer::Suspect { agrees, decided }) = pulse(&seat, answer.await) {
                    seat.claim(decided);
                    let _ = reports.send(Report::Agreement { epoch, peer, agrees }).await;
                }
            });
        }
        let reports = self.reports.clone();
        tokio::task::spawn_local(async move {
            futures::future::join_all(asked).await;
            let _ = reports.send(Report::QuestionOver { epoch }).await;
        });
    }

    /// Campaigns, once nothing of this node is under way and it knows what the others know.
    pub(super) fn start_election(&mut self, now: Instant) {
        if self.electing || self.leadership.role() != Role::Campaigning || self.proposer.open() > 0 {
            return;
        }
        if self.fetch.delays_campaign(self.seat.replica.applied(), self.seat.sought(), now) {
            self.start_fetch(now);
            return;
        }
        if self.campaign_after.is_some_and(|after| now < after) {
            return;
        }
        let Some(life) = &self.life else { return };
        self.electing = true;
        self.leadership.on_campaign_begun();
        let (seat, appender, entries) = (Arc::clone(&self.seat), life.appender(), Arc::clone(&self.entries));
        let (reports, life) = (self.reports.clone(), self.lives);
        tokio::task::spawn_local(async move {
            let outcome = election::run(&seat, &appender, &entries).await;
            let _ = reports.send(Report::Elected { life, outcome }).await;
        });
    }

    pub(super) fn on_elected(&mut self, now: Instant, outcome: Result<Elected, Appended>) {
        self.electing = false;
        self.campaign_after = None;
        self.fetch.on_campaign_over();
        match outcome {
            // The others are on their way into the epoch that this node is to begin.
            Err(Appended::NoQuorum) if self.leadership.is_expected(now) => {
                self.campaign_after = Some(now + EXPECTED_PAUSE);
            }
            Ok(Elected { ballot }) => {
                tracing::info!(ballot, "this node leads");
                self.leadership.on_elected(now, ballot);
                self.proposer.lead();
                self.submitter.send_all_again();
            }
            Err(lost) => {
                tracing::debug!(?lost, "the campaign was lost");
                self.leadership.on_lost(now);
                self.fetch.on_progress(self.seat.replica.applied(), self.seat.sought(), now);
            }
        }
    }

    /// Leads no longer; what is under way returns in its own time.
    pub(super) fn step_down(&mut self, now: Instant) {
        if let Role::Leading { .. } = self.leadership.role() {
            tracing::info!("this node no longer leads");
            self.leadership.on_lost(now);
            self.proposer.step_down();
            self.submitter.send_all_again();
        }
    }

    /// Moves commands on: from the handle to the leader, from the queue into rounds.
    pub(super) fn pump(&mut self) {
        let now = Instant::now();
        // Whatever comes of it below: a pause that is over must not be waited for again.
        self.forward_after = self.forward_after.filter(|after| *after > now);
        if self.leadership.role() == Role::Campaigning {
            self.start_election(now);
        }
        if let Role::Leading { .. } = self.leadership.role() {
            if self.handover.is_some() {
                self.hand_over();
            } else {
                self.pump_own(now);
                self.propose(now);
            }
        } else {
            self.pump_forward(now);
        }
        self.pump_reads(now);
        self.start_fetch_if_due(now);
    }

    fn pump_own(&mut self, now: Instant) {
        if !self.leadership.is_heard(now) {
            // What may have been proposed keeps waiting for its outcome; the rest is told at once.
            self.submitter.fail_unproposed();
            return;
        }
        // What comes while this epoch is sealed goes out in the next one.
        if self.proposer.is_sealing() || self.is_store_behind() {
            return;
        }
        loop {
            let outgoing = self.submitter.take(now, COMMANDS_MAX, BATCH_BYTES);
            if outgoing.is_empty() {
                return;
            }
            if self.proposer.push(outgoing.iter().map(|outgoing| outgoing.command.clone())).is_err() {
                self.submitter.not_taken(&outgoing);
                return;
            }
        }
    }

    fn pump_forward(&mut self, now: Instant) {
        // What becomes of a command cannot be applied here while the log notes nothing.
        let leader = self.leadership.leader(now).filter(|_| !self.room.is_full());
        let Some(leader) = leader else { return };
        while self.forward_after.is_none() && self.forwarding.has_room(leader) {
            let outgoing = self.submitter.take(now, COMMANDS_MAX, BATCH_BYTES);
            if outgoing.is_empty() {
                return;
            }
            let commands = outgoing.iter().map(|outgoing| outgoing.command.as_bytes().clone()).collect();
            let Ok(payload) = self.seat.envelope(ForwardRequest::Commands(commands)).encode() else { return };
            self.forwarding.frames += 1;
            let leadership = self.forwarding.leadership;
            let answer = self.seat.network.request(leader, Channel::Forward, payload, FORWARD_TIMEOUT);
            let (seat, reports) = (Arc::clone(&self.seat), self.reports.clone());
            tokio::task::spawn_local(async move {
                let answer = answer.await.and_then(|bytes| match Envelope::<ForwardAnswer>::decode(&bytes) {
                    Ok(envelope) if seat.belongs(&envelope) => Ok(envelope.body),
                    // Whatever that was, the commands may have been taken.
                    _ => Err(RequestError::ConnectionLost),
                });
                let _ = reports.send(Report::Forwarded { leadership, outgoing, answer }).await;
            });
        }
    }

    /// The leader did not take commands: they wait a moment, for it or for another one.
    pub(super) fn hold_forwards(&mut self, now: Instant) {
        self.forward_after = Some(now + FORWARD_PAUSE);
    }

    fn propose(&mut self, now: Instant) {
        let Some(life) = &self.life else { return };
        while let Some(ticket) = self.proposer.next(now, &self.entries) {
            let appender = life.appender();
            let (reports, life) = (self.reports.clone(), self.lives);
            tokio::task::spawn_local(async move {
                let appended = appender.append(ticket.entry).await;
                let _ = reports.send(Report::Appended { life, ticket: ticket.number, appended }).await;
            });
        }
    }
}

/// The answer inside a pulse of this cluster and epoch.
pub(super) fn pulse(seat: &crate::consensus::seat::Seat, answer: Result<Bytes, RequestError>) -> Option<PulseAnswer> {
    match codec::decode::<Pulse<PulseAnswer>>(&answer.ok()?).ok()? {
        Pulse::Within(envelope) if seat.belongs(&envelope) => Some(envelope.body),
        _ => None,
    }
}
