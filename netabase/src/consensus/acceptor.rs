//! How this node answers the other voters: the acceptor of Paxos, made durable.
//!
//! ```text
//! request ─▶ envelope ─▶ guard ─▶ paxakos ─▶ log (fsync) ─▶ answer
//!                          └─ decided long ago ─▶ answered from the log
//! ```
//!
//! Must hold: a promise or an acceptance is durable before its answer leaves (D1); paxakos never sees a message that did
//! not pass the guard, nor a round at or below its base (D7). Where there is no answer, nothing is said: the asker's
//! timeout speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libp2p::PeerId;
use paxakos::{AcceptError, CommitError, PrepareError, RequestHandler};

use super::communicator::row;
use super::guard::Refused;
use super::id::{Ballot, Round};
use super::log::Mirror;
use super::message::{AcceptedRow, Envelope, PaxosAnswer, PaxosRequest};
use super::paxakos_types::{Base, Types};
use super::seat::Seat;
use crate::command::{Entry, EntryId};
use crate::network::Reason;

/// One life of the keeper, as its acceptor needs it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) seat: Arc<Seat>,
    pub(crate) base: Base,
    handler: RequestHandler<Types>,
    /// Whether this life is over.
    retired: AtomicBool,
}

impl Acceptor {
    pub(crate) fn new(seat: Arc<Seat>, base: Base, handler: RequestHandler<Types>) -> Self {
        Acceptor { seat, base, handler, retired: AtomicBool::new(false) }
    }

    /// This life is over: what it has not sent to the log yet is never said.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// A word of this life that is not in the log yet; nothing once the life is over.
    fn alive(&self) -> Option<()> {
        (!self.retired.load(Ordering::Relaxed)).then_some(())
    }

    /// Answers a request of `from`, or says nothing.
    pub(crate) async fn answer(&self, from: PeerId, request: Envelope<PaxosRequest>) -> Option<PaxosAnswer> {
        if !self.seat.belongs(&request) || self.seat.is_other_life(&from, request.incarnation) {
            self.seat.network.blame(&from, Reason::Foreign);
            return None;
        }
        match request.body {
            PaxosRequest::Prepare { round, ballot } => {
                self.check(&from, round, ballot)?;
                self.prepare(round, ballot).await
            }
            PaxosRequest::Propose { round, ballot, entry } => {
                self.check(&from, round, ballot)?;
                self.seat.guard().entry(&entry).ok()?;
                self.propose(round, ballot, entry).await
            }
            PaxosRequest::Commit { round, ballot, entry } => {
                self.seat.guard().entry(&entry).ok()?;
                self.commit(&from, round, ballot, Ok(entry)).await
            }
            PaxosRequest::CommitById { round, ballot, id } => self.commit(&from, round, ballot, Err(id)).await,
        }
    }

    fn check(&self, from: &PeerId, round: Round, ballot: Ballot) -> Option<()> {
        match self.seat.guard().request(from, round, ballot) {
            Ok(()) => {
                self.seat.observe(ballot);
                Some(())
            }
            Err(refused) => {
                if refused == Refused::Ahead {
                    // Rounds so far behind an open one are decided: this node lags and fetches them.
                    self.seat.claim(round.saturating_sub(super::guard::ROUNDS_AHEAD));
                }
                if refused == Refused::BallotJump {
                    let _ = self.seat.hear_of(ballot);
                }
                tracing::debug!(%from, round, ballot, %refused, "a voter's message is refused");
                None
            }
        }
    }

    async fn prepare(&self, round: Round, ballot: Ballot) -> Option<PaxosAnswer> {
        let Some(local) = self.undecided(round) else { return Some(self.converged(round)) };
        match self.handler.handle_prepare(local, ballot).await {
            Ok(promise) => {
                self.alive()?;
                self.seat.log.promise(ballot).await.ok()?;
                Some(PaxosAnswer::Promise(promise.into_iter().map(|condition| row(self.base, condition)).collect()))
            }
            Err(PrepareError::Supplanted(ballot)) => Some(PaxosAnswer::Supplanted { ballot }),
            Err(PrepareError::Converged(ballot, entry)) => {
                Some(PaxosAnswer::Converged { ballot, entry: entry.map(|(_, entry)| Entry::clone(&entry)) })
            }
            Err(PrepareError::Abstained(never)) => match never {},
            Err(PrepareError::Passive | PrepareError::ShutDown) => None,
        }
    }

    async fn propose(&self, round: Round, ballot: Ballot, entry: Entry) -> Option<PaxosAnswer> {
        let Some(local) = self.undecided(round) else { return Some(self.converged(round)) };
        let _passing = self.seat.gate.read().await;
        self.seat.note_seal(round, &entry);
        match self.handler.handle_proposal(local, ballot, Arc::new(entry.clone())).await {
            Ok(()) => {
                self.alive()?;
                self.seat.log.accept(round, ballot, entry).await.ok()?;
                Some(PaxosAnswer::Accepted)
            }
            Err(AcceptError::Supplanted(ballot)) => Some(PaxosAnswer::Supplanted { ballot }),
            Err(AcceptError::Converged(ballot, entry)) => {
                Some(PaxosAnswer::Converged { ballot, entry: entry.map(|(_, entry)| Entry::clone(&entry)) })
            }
            Err(AcceptError::Rejected(never)) => match never {},
            Err(AcceptError::Passive | AcceptError::ShutDown) => None,
        }
    }

    async fn commit(
        &self,
        from: &PeerId,
        round: Round,
        ballot: Ballot,
        what: Result<Entry, EntryId>,
    ) -> Option<PaxosAnswer> {
        self.check(from, round, ballot)?;
        self.seat.decide(round);
        let Some(local) = self.undecided(round) else { return Some(PaxosAnswer::Committed) };
        let committed = match what {
            Ok(entry) => self.handler.handle_commit(local, ballot, Arc::new(entry)).await,
            Err(id) => self.handler.handle_commit_by_id(local, ballot, id).await,
        };
        match committed {
            Ok(()) => Some(PaxosAnswer::Committed),
            Err(CommitError::InvalidEntryId(_)) => Some(PaxosAnswer::Unknown),
            Err(_) => None,
        }
    }

    /// Takes a chosen row that was asked for.
    pub(crate) async fn learn(&self, row: AcceptedRow) {
        if let Some(local) = self.undecided(row.round) {
            let committed = self.handler.handle_commit(local, row.ballot.max(1), Arc::new(row.entry)).await;
            if committed.is_err() {
                tracing::debug!(round = row.round, "the keeper did not take a chosen row");
            }
        }
    }

    /// paxakos' number of a round that is not applied yet.
    fn undecided(&self, round: Round) -> Option<u64> {
        if round <= self.seat.replica.applied() { None } else { self.base.local(round) }
    }

    /// A round that is applied is answered from the log; while its row is not durable, without the entry.
    fn converged(&self, round: Round) -> PaxosAnswer {
        let entry = match self.seat.log.read_chosen(round, 0) {
            Ok(rows) => rows.into_iter().next().map(|row| row.entry),
            Err(error) => {
                tracing::warn!(%error, round, "a chosen row cannot be read");
                None
            }
        };
        PaxosAnswer::Converged { ballot: self.seat.log.durable(Mirror::ballot), entry }
    }
}
