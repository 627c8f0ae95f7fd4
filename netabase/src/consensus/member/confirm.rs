//! The member's part in linearizable reads (DESIGN, "Linearizable reads"): one round trip to a majority, no disk.
//!
//! ```text
//! leader:    i = decided ─▶ confirm(ballot) to every voter ─▶ a majority, nobody of it above the ballot ─▶ applied >= i
//! follower:  ask the leader for i ─▶ applied >= i here
//! ```
//!
//! Confirms go over the channel of beats: they are as small, and on the channel of votes they would wait behind proposals
//! of a megabyte. Must hold: `decided` is raised before a commit leaves, and is at least what was applied when this node
//! was elected (s0); a voter's number is raised before the promise or prepare leaves that raises it, and is durable where
//! it was promised; an answer counts only from the life of a directory that is durably known.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;

use super::Member;
use super::answer::answer_with;
use super::lead::PULSE_TIMEOUT;
use super::report::Report;
use crate::consensus::id::{Ballot, Incarnation, Round};
use crate::consensus::leadership::Role;
use crate::consensus::message::{Envelope, ForwardAnswer, ForwardRequest, Pulse, PulseAnswer, PulseRequest};
use crate::consensus::reads::{READERS_MAX, Reader, Settled, Whom};
use crate::consensus::seat::Seat;
use crate::error::Error;
use crate::network::{Channel, RequestError};
use crate::schema::codec;

/// How long the leader may take to name an index before it is asked again.
const INDEX_TIMEOUT: Duration = Duration::from_millis(500);

impl Member {
    /// Moves reads on: from the handle to the voters or the leader, from what is settled to what is applied.
    pub(super) fn pump_reads(&mut self, now: Instant) {
        self.readers.take(self.reads.room()).into_iter().for_each(|reader| self.reads.join(reader));
        match self.leadership.role() {
            Role::Leading { ballot } => self.pump_confirms(now, ballot),
            _ => self.pump_questions(now),
        }
        for reader in self.reads.on_applied(self.seat.replica.applied()) {
            answer_reader(&self.seat, reader, Ok(self.seat.replica.applied()));
        }
    }

    fn pump_confirms(&mut self, now: Instant, ballot: Ballot) {
        self.reads.only(Some(Whom::Voters(ballot)));
        if !self.leadership.is_heard(now) {
            for reader in self.reads.take_waiting(|_| true) {
                answer_reader(&self.seat, reader, Err(Unread::NoQuorum(self.submitter.no_quorum())));
            }
        } else if self.reads.is_due(now) && !self.seat.may_be_sealed() {
            self.confirm(ballot);
        }
    }

    /// Asks every voter whether it has spoken under a greater ballot, for all who wait now.
    fn confirm(&mut self, ballot: Ballot) {
        let voters = &self.seat.terms.voters;
        // Not below s0: what was applied when this node was elected is decided.
        let index = self.seat.decided();
        if voters.len() == 1 {
            if let Some(settled) = self.reads.settle_waiting(index) {
                self.settle(settled);
            }
            return;
        }
        let request = self.seat.envelope(PulseRequest::Confirm { ballot });
        let Ok(payload) = codec::encode(&Pulse::Within(request)).map(Bytes::from) else { return };
        let number = self.reads.ask_voters(ballot, index, voters.majority() - 1, voters.len() - 1);
        for &peer in voters.iter().filter(|peer| **peer != self.seat.terms.me) {
            let answer = self.seat.network.request(peer, Channel::Heartbeat, payload.clone(), PULSE_TIMEOUT);
            let (seat, reports) = (Arc::clone(&self.seat), self.reports.clone());
            tokio::task::spawn_local(async move {
                let word = answer.await.ok().and_then(|bytes| word(&seat, &bytes));
                let _ = reports.send(Report::Confirmed { number, peer, word }).await;
            });
        }
    }

    /// A voter's word on a confirm, or that there is none.
    pub(super) fn on_confirmed(
        &mut self,
        now: Instant,
        number: u64,
        peer: PeerId,
        word: Option<(Incarnation, Ballot)>,
    ) {
        let counts = |&(incarnation, promised): &(Incarnation, Ballot)| {
            self.seat.is_known_life(&peer, incarnation) && self.seat.hear_of(promised).is_ok()
        };
        let promised = word.filter(counts).map(|(_, promised)| promised);
        if let Some(settled) = self.reads.on_word(now, number, promised, self.seat.spoken()) {
            self.settle(settled);
        }
    }

    /// This voter's answer to a confirm; nothing, where its word must not count.
    pub(super) fn vouch(&self, from: &PeerId, ballot: Ballot, incarnation: Incarnation) -> Option<PulseAnswer> {
        let votes = self.life.is_some() && !self.seat.is_muted() && self.seat.log.failure().is_none();
        let asks = self.seat.terms.voters.owner(ballot) == Some(from) && !self.seat.is_other_life(from, incarnation);
        // Where a seal may have been chosen, another epoch may have a leader by now.
        (votes && asks && !self.seat.may_be_sealed()).then(|| PulseAnswer::Confirm { promised: self.seat.spoken() })
    }

    /// A follower asks on behalf of all its readers; those that asked it look for the leader elsewhere.
    fn pump_questions(&mut self, now: Instant) {
        let leader = self.leadership.leader(now);
        self.reads.only(leader.map(Whom::Leader));
        for reader in self.reads.take_waiting(|reader| matches!(reader, Reader::There(_))) {
            answer_reader(&self.seat, reader, Err(Unread::NotLeader(leader)));
        }
        let Some(leader) = leader.filter(|_| self.reads.is_due(now)) else { return };
        let Ok(payload) = self.seat.envelope(ForwardRequest::Read).encode() else { return };
        let number = self.reads.ask_leader(leader);
        let answer = self.seat.network.request(leader, Channel::Forward, payload, INDEX_TIMEOUT);
        let (seat, reports) = (Arc::clone(&self.seat), self.reports.clone());
        tokio::task::spawn_local(async move {
            let answer = answer.await.and_then(|bytes| match Envelope::<ForwardAnswer>::decode(&bytes) {
                Ok(envelope) if seat.belongs(&envelope) => Ok(envelope.body),
                _ => Err(RequestError::ConnectionLost),
            });
            let _ = reports.send(Report::Indexed { number, answer }).await;
        });
    }

    /// The leader's answer to the question for an index.
    pub(super) fn on_indexed(&mut self, now: Instant, number: u64, answer: Result<ForwardAnswer, RequestError>) {
        match answer {
            Ok(ForwardAnswer::Index(index)) => {
                // Commits that got lost are asked for.
                self.seat.claim(index);
                if let Some(settled) = self.reads.on_index(number, index) {
                    self.settle(settled);
                }
            }
            Ok(ForwardAnswer::NoQuorum) => {
                if let Some(Settled { readers, .. }) = self.reads.on_index(number, 0) {
                    for reader in readers {
                        answer_reader(&self.seat, reader, Err(Unread::NoQuorum(self.submitter.no_quorum())));
                    }
                }
            }
            _ => self.reads.on_nothing(now, number),
        }
    }

    /// Another node asks for an index.
    pub(super) fn on_read(&mut self, reply: crate::network::Reply) {
        let reader = Reader::There(reply);
        match self.reads.room() {
            0 => answer_reader(&self.seat, reader, Err(Unread::Overloaded)),
            _ => self.reads.join(reader),
        }
    }

    /// A follower waits itself until it has applied the index.
    fn settle(&mut self, settled: Settled<Reader>) {
        let Settled { index, readers } = settled;
        let (there, here): (Vec<_>, Vec<_>) =
            readers.into_iter().partition(|reader| matches!(reader, Reader::There(_)));
        for reader in there {
            answer_reader(&self.seat, reader, Ok(index));
        }
        self.reads.settle(Settled { index, readers: here });
    }

    /// Readers whose time is over never "may have happened": there was no leader with a quorum.
    pub(super) fn end_reads(&mut self, now: Instant) {
        for reader in self.reads.take(|reader| reader.is_over(now)) {
            answer_reader(&self.seat, reader, Err(Unread::NoQuorum(self.submitter.no_quorum())));
        }
    }
}

/// Why a reader has no index.
enum Unread {
    NotLeader(Option<PeerId>),
    NoQuorum(Error),
    Overloaded,
}

fn answer_reader(seat: &Seat, reader: Reader, index: Result<Round, Unread>) {
    match reader {
        Reader::Here { answer, .. } => {
            let result = match index {
                Ok(_) => Ok(()),
                Err(Unread::NoQuorum(error)) => Err(error),
                Err(Unread::NotLeader(_)) => Err(Error::NoQuorum),
                Err(Unread::Overloaded) => Err(Error::Overloaded { limit: READERS_MAX }),
            };
            let _ = answer.send(result);
        }
        Reader::There(reply) => {
            let body = match index {
                Ok(index) => ForwardAnswer::Index(index),
                Err(Unread::NoQuorum(_)) => ForwardAnswer::NoQuorum,
                Err(Unread::NotLeader(leader)) => ForwardAnswer::not_leader(leader),
                Err(Unread::Overloaded) => ForwardAnswer::Overloaded,
            };
            answer_with(seat, reply, body);
        }
    }
}

/// In which life a voter answered a confirm, and the greatest ballot that it has spoken under.
fn word(seat: &Seat, bytes: &[u8]) -> Option<(Incarnation, Ballot)> {
    match codec::decode::<Pulse<PulseAnswer>>(bytes).ok()? {
        Pulse::Within(envelope) if seat.belongs(&envelope) => match envelope.body {
            PulseAnswer::Confirm { promised } => Some((envelope.incarnation, promised)),
            _ => None,
        },
        _ => None,
    }
}
