//! What runs beside the member reports to it.

use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;

use super::Member;
use super::fetch::Fetched;
use super::receive::{NotReceived, Received};
use super::seal::Progress;
use crate::consensus::acquaintance::Verdict;
use crate::consensus::checkpoint::Checkpoint;
use crate::consensus::election::Elected;
use crate::consensus::id::{Ballot, Epoch, Incarnation, Round};
use crate::consensus::keeper::Appended;
use crate::consensus::message::{ForwardAnswer, Greeting};
use crate::consensus::submit::Outgoing;
use crate::consensus::vault::Export;
use crate::error::Result;
use crate::machine::{Machine, SnapshotId};
use crate::network::RequestError;

/// A result that the member waits for.
#[derive(Debug)]
pub(crate) enum Report {
    /// The campaign of this life ended.
    Elected { life: u64, outcome: Result<Elected, Appended> },
    /// An append of this life returned.
    Appended { life: u64, ticket: u64, appended: Appended },
    /// A voter or a learner answered the beat of this epoch.
    Beaten {
        epoch: Epoch,
        peer: PeerId,
        promised: Ballot,
        applied: Round,
        durable: Round,
        checkpoints: Vec<Checkpoint>,
        clock_ms: u64,
    },
    /// A voter answered the question whether it hears a leader, in this epoch.
    Agreement { epoch: Epoch, peer: PeerId, agrees: bool },
    /// Every answer to the question is in.
    QuestionOver { epoch: Epoch },
    /// What was chosen when the last open round of a leader on its way out returned is durable.
    Settled,
    /// A voter that was told to succeed this leader agreed, or did not.
    Told { agrees: bool },
    /// The leader took forwarded commands, or did not.
    Forwarded { leadership: u64, outgoing: Vec<Outgoing>, answer: Result<ForwardAnswer, RequestError> },
    /// A voter answered a confirm, from this life of its directory, or did not.
    Confirmed { number: u64, peer: PeerId, word: Option<(Incarnation, Ballot)> },
    /// The leader named an index for reads, or did not.
    Indexed { number: u64, answer: Result<ForwardAnswer, RequestError> },
    /// A peer's answer to our greeting.
    Greeted { peer: PeerId, greeting: Box<Greeting> },
    /// Chosen rows came from a peer and are applied.
    Fetched(Fetched),
    /// What this node had to say of itself is said, or was not taken.
    Presented,
    /// A record type was brought to a later version, or some of its rows; or not.
    Upgraded { taken: bool },
    /// Some of what has expired was removed, or not; `taken`: it was agreed on.
    Expired { taken: bool, removed: bool },
    /// The state was copied for peers.
    Exported { peer: PeerId, export: Result<Export> },
    /// The copy was removed.
    Withdrawn,
    /// A piece of the copy was read; or that copy is bad.
    ChunkRead { bad: Option<SnapshotId> },
    /// A snapshot is here and built, or there is none.
    Received(Result<Received, NotReceived>),
    /// It is in place.
    Installed(Result<Box<Machine>>),
    /// A flush of the store ends.
    Flushed,
}

impl Member {
    pub(super) fn on_report(&mut self, report: Report) -> Result<()> {
        let now = Instant::now();
        match report {
            Report::Elected { life, outcome } if life == self.lives => self.on_elected(now, outcome),
            Report::Appended { life, ticket, appended } if life == self.lives => {
                if !self.proposer.on_appended(now, ticket, appended) {
                    self.step_down(now);
                }
            }
            Report::Elected { .. } | Report::Appended { .. } => {}
            Report::Beaten { epoch, peer, promised, applied, durable, checkpoints, clock_ms }
                if epoch == self.seat.terms.epoch =>
            {
                if let Some(told) = Arc::make_mut(&mut self.peers).get_mut(&peer) {
                    *told = Some(applied);
                }
                self.on_beaten(peer, promised, Progress { applied, durable, at: now, clock_ms });
                self.on_checkpoints(peer, checkpoints)?;
            }
            Report::Agreement { epoch, peer, agrees } if epoch == self.seat.terms.epoch => {
                if !agrees {
                    self.leadership.on_denial(now, peer);
                } else if self.leadership.on_agreement() {
                    self.start_election(now);
                }
            }
            Report::QuestionOver { epoch } if epoch == self.seat.terms.epoch => {
                self.leadership.on_question_over(now);
            }
            Report::Beaten { .. } | Report::Agreement { .. } | Report::QuestionOver { .. } => {}
            Report::Settled => self.on_settled(),
            Report::Told { agrees } => self.on_told(agrees),
            Report::Forwarded { leadership, outgoing, answer } => {
                self.forwarding.on_answer(leadership);
                match answer {
                    Ok(ForwardAnswer::Taken) => {}
                    Ok(ForwardAnswer::NoQuorum) => {
                        self.submitter.not_taken(&outgoing);
                        self.submitter.fail_unproposed();
                        self.hold_forwards(now);
                    }
                    Ok(
                        ForwardAnswer::NotLeader { .. }
                        | ForwardAnswer::Overloaded
                        | ForwardAnswer::Index(_)
                        | ForwardAnswer::Refused { .. },
                    )
                    | Err(
                        RequestError::NotConnected
                        | RequestError::TooLarge { .. }
                        | RequestError::QueueFull
                        | RequestError::Refused(_),
                    ) => {
                        self.submitter.not_taken(&outgoing);
                        self.hold_forwards(now);
                    }
                    // It may have been taken: sent again when its time is over.
                    Err(RequestError::Timeout | RequestError::ConnectionLost) => {}
                }
            }
            Report::Confirmed { number, peer, word } => self.on_confirmed(now, number, peer, word),
            Report::Indexed { number, answer } => self.on_indexed(now, number, answer),
            Report::Greeted { peer, greeting } => self.on_greeting(peer, &greeting)?,
            Report::Fetched(fetched) => self.on_fetched(now, fetched)?,
            Report::Exported { peer, export } => self.on_exported(now, peer, export),
            Report::Withdrawn => self.on_withdrawn(),
            Report::ChunkRead { bad } => self.on_chunk_read(bad),
            Report::Received(received) => self.on_received(now, received),
            Report::Installed(installed) => self.on_installed(now, installed)?,
            Report::Expired { taken, removed } => self.on_expired(now, taken, removed)?,
            Report::Upgraded { taken } => self.on_upgraded(now, taken),
            Report::Presented => self.on_presented(now),
            Report::Flushed => {}
        }
        Ok(())
    }

    pub(super) fn on_greeting(&mut self, peer: PeerId, theirs: &Greeting) -> Result<()> {
        self.serving.on_applied(peer, theirs.applied);
        let seat = Arc::clone(&self.seat);
        let mine = crate::consensus::acquaintance::greeting(&seat, &self.schema, &peer);
        match self.acquaintances.on_greeting(&seat, &mine, peer, theirs) {
            Verdict::Welcome => {
                self.troubles.remove(&peer);
                if theirs.epoch == self.seat.terms.epoch {
                    self.on_started(peer);
                }
            }
            Verdict::Stranger(trouble) => {
                if self.troubles.insert(peer, Arc::clone(&trouble)).is_none() {
                    tracing::error!(%peer, error = %trouble(), "a founder does not fit");
                }
            }
            Verdict::Forgetful(reason) if self.votes => self.renounce(&reason)?,
            Verdict::Forgetful(_) | Verdict::Busy => {}
        }
        self.submitter.set_trouble(self.troubles.values().next().cloned());
        Ok(())
    }
}
