//! The member's answers to its peers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Member;
use super::report::Report;
use crate::clock;
use crate::command::{COMMANDS_MAX, EncodedCommand, body_bytes_alone};
use crate::consensus::acquaintance;
use crate::consensus::addresses::member_id;
use crate::consensus::id::Round;
use crate::consensus::leadership::Role;
use crate::consensus::log::Mirror;
use crate::consensus::message::{
    Envelope, ForwardAnswer, ForwardRequest, PaxosRequest, Pulse, PulseAnswer, PulseRequest, SyncAnswer, SyncRequest,
};
use crate::consensus::seat::Seat;
use crate::error::Result;
use crate::network::{Channel, Inbound, NetworkEvent, Reason, Reply};
use crate::schema::codec;

/// How long a greeting may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of chosen rows in one answer.
pub(super) const SYNC_BYTES_MAX: u64 = 1 << 20;

impl Member {
    pub(super) fn on_event(&mut self, event: NetworkEvent) -> Result<()> {
        self.notice_stall();
        match event {
            NetworkEvent::Connected(peer) if self.nodes().contains(&peer) => {
                Arc::make_mut(&mut self.peers).insert(peer, None);
                self.greet(peer);
            }
            NetworkEvent::Connected(_) => {}
            NetworkEvent::Disconnected(peer) => {
                Arc::make_mut(&mut self.peers).remove(&peer);
                self.acquaintances.on_disconnected(&peer);
                self.leadership.on_disconnected(Instant::now(), peer);
            }
            NetworkEvent::Request(inbound) => self.on_request(inbound)?,
        }
        Ok(())
    }

    fn on_request(&mut self, inbound: Inbound) -> Result<()> {
        let Inbound { from, channel, payload, reply } = inbound;
        if channel == Channel::Heartbeat {
            return self.on_pulse(from, &payload, reply);
        }
        if !self.acquaintances.knows(&from) {
            reply.refuse("greet first");
            return Ok(());
        }
        match channel {
            Channel::Paxos => self.on_paxos(from, &payload, reply),
            Channel::Forward if !self.takes_part_in_log(&from) => reply.refuse("only members propose"),
            Channel::Forward => match self.open::<ForwardRequest>(from, &payload) {
                Some(ForwardRequest::Commands(commands)) => {
                    let answer = self.on_forward(commands);
                    answer_with(&self.seat, reply, answer);
                }
                Some(ForwardRequest::Read) => self.on_read(reply),
                Some(ForwardRequest::Weigh { leaving }) => {
                    let answer = self.on_weigh(&leaving);
                    answer_with(&self.seat, reply, answer);
                }
                None => {}
            },
            Channel::Sync => {
                // Of any epoch: whoever is behind reads its way into this one.
                match Envelope::<SyncRequest>::decode(&payload) {
                    Ok(envelope) if envelope.cluster == self.seat.terms.cluster => {
                        self.on_sync(from, envelope.body, reply);
                    }
                    Ok(_) => self.blame(&from, Reason::Foreign),
                    Err(_) => self.blame(&from, Reason::Malformed),
                }
            }
            // Before the desk is open; and a member asks nothing as a client.
            Channel::Client => reply.refuse("clients are not served yet"),
            Channel::Heartbeat => {}
        }
        Ok(())
    }

    /// Whether this peer may have commands proposed as a node does: clients have a desk, and who left has nothing to say.
    fn takes_part_in_log(&self, peer: &PeerId) -> bool {
        let (roster, member) = (self.seat.replica.roster(), member_id(peer));
        roster.is_voter(&member) || roster.member(&member).is_some_and(|member| member.role.is_node())
    }

    /// The body of a message of this cluster and epoch; nothing for any other, and for what cannot be read.
    fn open<T: DeserializeOwned>(&self, from: PeerId, payload: &[u8]) -> Option<T> {
        let Ok(envelope) = Envelope::decode(payload) else {
            self.blame(&from, Reason::Malformed);
            return None;
        };
        if !self.seat.belongs(&envelope) {
            self.blame(&from, Reason::Foreign);
            return None;
        }
        Some(envelope.body)
    }

    fn blame(&self, peer: &PeerId, reason: Reason) {
        self.seat.network.blame(peer, reason);
    }

    fn on_paxos(&self, from: PeerId, payload: &[u8], reply: Reply) {
        let Some(life) = &self.life else {
            reply.refuse("this node does not vote");
            return;
        };
        let Ok(request) = Envelope::<PaxosRequest>::decode(payload) else {
            self.blame(&from, Reason::Malformed);
            return;
        };
        let acceptor = Arc::clone(&life.acceptor);
        tokio::task::spawn_local(async move {
            if let Some(answer) = acceptor.answer(from, request).await
                && !acceptor.seat.is_muted()
            {
                answer_with(&acceptor.seat, reply, answer);
            }
        });
    }

    fn on_pulse(&mut self, from: PeerId, payload: &[u8], reply: Reply) -> Result<()> {
        let envelope = match codec::decode::<Pulse<PulseRequest>>(payload) {
            // Clients and who holds an invite have ways of their own: greeted, they would be served rows.
            Ok(Pulse::Greeting(_)) if !self.nodes().contains(&from) => return Ok(()),
            Ok(Pulse::Greeting(theirs)) => {
                // They hear who we are also when we do not belong together, so that both can say why.
                let mine = acquaintance::greeting(&self.seat, &self.schema, &from);
                if let Ok(bytes) = codec::encode(&Pulse::<PulseAnswer>::Greeting(Box::new(mine))) {
                    reply.send(Bytes::from(bytes));
                }
                return self.on_greeting(from, &theirs);
            }
            Ok(Pulse::Knock(knock)) => {
                self.on_knock(from, &knock, reply);
                return Ok(());
            }
            Ok(Pulse::Within(envelope)) if self.seat.belongs(&envelope) && self.acquaintances.knows(&from) => envelope,
            Ok(Pulse::Within(envelope)) => {
                if !self.seat.belongs(&envelope) {
                    self.blame(&from, Reason::Foreign);
                }
                self.on_other_epoch(from, &envelope);
                return Ok(());
            }
            Ok(Pulse::Answered(_)) | Err(_) => {
                self.blame(&from, Reason::Malformed);
                return Ok(());
            }
        };
        self.on_started(from);
        let now = Instant::now();
        let answer = match envelope.body {
            PulseRequest::Beat { ballot, decided, held, word } => {
                let promised = self.seat.log.durable(Mirror::ballot);
                let owner = self.seat.terms.voters.owner(ballot) == Some(&from);
                if owner && self.seat.hear_of(ballot).is_ok() {
                    if self.handover.is_some() && ballot > self.seat.mandate().ballot() {
                        // The successor: nothing here is under way that would notice.
                        self.step_down(now);
                    }
                    let before = self.leadership.leader(now);
                    if self.leadership.on_beat(now, from, ballot, promised) {
                        self.seat.claim(decided);
                        // Every voter is this one, too: what it does not hold itself, not every voter holds.
                        self.held = self.held.max(held.min(self.durable_round()));
                        self.fetch.on_progress(self.seat.replica.applied(), self.seat.sought(), now);
                        self.on_word(word)?;
                        if before != Some(from) {
                            self.submitter.send_all_again();
                        }
                        if self.leadership.role() == Role::Following {
                            self.fetch.on_campaign_over();
                        }
                    }
                }
                let durable = self.durable_round();
                let (applied, checkpoints) = (self.seat.replica.applied(), self.checkpoints());
                PulseAnswer::Beat { promised, applied, durable, checkpoints, clock_ms: clock::now_ms() }
            }
            PulseRequest::Suspect => {
                PulseAnswer::Suspect { agrees: self.leadership.suspects(now), decided: self.seat.decided() }
            }
            PulseRequest::Succeed { ballot, decided } => self.succeed(now, &from, ballot, decided),
            PulseRequest::Confirm { ballot } => match self.vouch(&from, ballot, envelope.incarnation) {
                Some(answer) => answer,
                None => return Ok(()),
            },
        };
        if let Ok(bytes) = codec::encode(&Pulse::Within(self.seat.envelope(answer))) {
            reply.send(Bytes::from(bytes));
        }
        Ok(())
    }

    /// A pulse of another epoch of this cluster: one of the two is behind, and hears of it by a greeting.
    fn on_other_epoch(&mut self, from: PeerId, envelope: &Envelope<PulseRequest>) {
        let is_behind = envelope.epoch < self.seat.terms.epoch;
        if envelope.cluster != self.seat.terms.cluster || !self.acquaintances.knows(&from) {
            return;
        }
        if is_behind {
            self.greet(from);
        } else {
            // Its epoch began with a seal that this node has not applied.
            self.seat.claim(self.seat.replica.applied() + 1);
            self.fetch.on_progress(self.seat.replica.applied(), self.seat.sought(), Instant::now());
        }
    }

    fn on_forward(&mut self, commands: Vec<Bytes>) -> ForwardAnswer {
        let now = Instant::now();
        if self.handover.is_some() || !matches!(self.leadership.role(), Role::Leading { .. }) {
            return ForwardAnswer::not_leader(self.leadership.leader(now));
        }
        if !self.leadership.is_heard(now) {
            return ForwardAnswer::NoQuorum;
        }
        if self.proposer.is_sealing() || self.is_store_behind() {
            return ForwardAnswer::Overloaded;
        }
        let bytes_max = self.seat.terms.entry_bytes_max;
        // An entry over the limit is accepted by nobody, and its round could never be closed.
        let fits = |command: &Bytes| body_bytes_alone(command.len()) <= bytes_max;
        if commands.len() > COMMANDS_MAX || !commands.iter().all(fits) {
            return ForwardAnswer::Overloaded;
        }
        // A command that does not decode would void the entry that it is put in.
        let Ok(commands) = commands.into_iter().map(EncodedCommand::check).collect::<Result<Vec<_>, _>>() else {
            return ForwardAnswer::Overloaded;
        };
        // A seal is the leader's own to propose.
        if commands.iter().any(EncodedCommand::is_seal) {
            return ForwardAnswer::Overloaded;
        }
        match self.proposer.push(commands.into_iter()) {
            Ok(()) => ForwardAnswer::Taken,
            Err(_) => ForwardAnswer::Overloaded,
        }
    }

    fn on_sync(&mut self, peer: PeerId, request: SyncRequest, reply: Reply) {
        if self.integrity.is_rebuilding() {
            return reply.refuse("this node fetches its records anew");
        }
        self.serving.keep_for(peer, Instant::now());
        if let SyncRequest::Rows { from, .. } = &request {
            self.serving.on_applied(peer, from.saturating_sub(1));
        }
        match request {
            SyncRequest::Rows { from, bytes_max } => self.on_rows_wanted(from, bytes_max, reply),
            SyncRequest::Snapshot { above } => self.on_snapshot_wanted(peer, above, reply),
            SyncRequest::Chunk { id, offset } => self.on_chunk_wanted(id, offset, reply),
            SyncRequest::Release { id } => {
                self.serving.release(peer, id);
                answer_with(&self.seat, reply, SyncAnswer::NoSnapshot);
            }
        }
    }

    /// Read beside the member: a page takes milliseconds, in which no beat would leave.
    fn on_rows_wanted(&self, from: Round, bytes_max: u64, reply: Reply) {
        let bytes_max = usize::try_from(bytes_max.min(SYNC_BYTES_MAX)).unwrap_or(0);
        let seat = Arc::clone(&self.seat);
        tokio::task::spawn_blocking(move || {
            let through = seat.log.durable(Mirror::chosen);
            match seat.log.read_chosen(from, bytes_max) {
                // What is chosen and not there was pruned, or came as a snapshot.
                Ok(rows) if rows.is_empty() && (1..=through).contains(&from) => {
                    answer_with(&seat, reply, SyncAnswer::Compacted { through });
                }
                Ok(rows) => {
                    let rows = rows.into_iter().map(Into::into).collect();
                    answer_with(&seat, reply, SyncAnswer::Rows { rows, through });
                }
                Err(error) => tracing::warn!(%error, "chosen rows cannot be served"),
            }
        });
    }

    /// Says who we are to a peer whose connection opened.
    fn greet(&self, peer: PeerId) {
        let mine = acquaintance::greeting(&self.seat, &self.schema, &peer);
        let Ok(payload) = codec::encode(&Pulse::<PulseRequest>::Greeting(Box::new(mine))) else { return };
        let answer = self.seat.network.request(peer, Channel::Heartbeat, payload.into(), GREETING_TIMEOUT);
        let reports = self.reports.clone();
        tokio::task::spawn_local(async move {
            if let Ok(answer) = answer.await
                && let Ok(Pulse::<PulseAnswer>::Greeting(greeting)) = codec::decode(&answer)
            {
                let _ = reports.send(Report::Greeted { peer, greeting }).await;
            }
        });
    }

    /// A greeting that got lost is said again.
    pub(super) fn greet_again(&self) {
        for peer in self.nodes() {
            if !self.acquaintances.knows(&peer) && self.seat.network.is_connected(peer) {
                self.greet(peer);
            }
        }
    }
}

pub(super) fn answer_with<T: Serialize>(seat: &Seat, reply: Reply, answer: T) {
    match seat.envelope(answer).encode() {
        Ok(bytes) => reply.send(bytes),
        Err(error) => tracing::warn!(%error, "an answer cannot be encoded"),
    }
}
