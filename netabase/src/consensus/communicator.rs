//! How this node's keeper speaks to the other voters.
//!
//! ```text
//! send_prepare / send_proposal ──┬─▶ own log ─────────────┐
//!                                └─▶ peer ─▶ guard ─▶ count ┴─▶ the answer counts
//! ```
//!
//! Must hold: no answer of a peer counts before this node's own promise or acceptance is durable (D2); of a single voter
//! the second node is its disk (D3); a proposal that the election does not allow never leaves (D12); `decided` is raised
//! before a commit leaves; a message is encoded once for all receivers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared};
use paxakos::communicator::{Acceptance, Committed, Vote};
use paxakos::{Condition, Conflict, Promise};
use tokio::sync::watch;

use super::guard::{ROUNDS_AHEAD, Refused};
use super::id::{Ballot, Incarnation, Round};
use super::log::{Accepted, Durable, Mirror, NotLogged};
use super::mandate::Overreach;
use super::message::{AcceptedRow, Envelope, PaxosAnswer, PaxosRequest};
use super::paxakos_types::{Base, Position};
use super::seat::Seat;
use crate::command::{Entry, EntryId};
use crate::network::{Channel, RequestError};
use crate::schema::codec::CodecError;

/// Why a voter's answer does not count.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error(transparent)]
    NotLogged(#[from] NotLogged),
    #[error("{0}")]
    Network(Arc<RequestError>),
    #[error("{0}")]
    Codec(Arc<CodecError>),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Overreach(#[from] Overreach),
    #[error("another cluster or epoch answered")]
    Foreign,
    #[error("the peer's directory was replaced since its votes were first counted")]
    OtherLife,
    #[error("the quorum was complete without this promise")]
    Surplus,
    #[error("a quorum says the opposite")]
    Outvoted,
    #[error("ballot 0 is not used")]
    Poll,
}

impl From<RequestError> for Unanswered {
    fn from(error: RequestError) -> Self {
        Unanswered::Network(Arc::new(error))
    }
}

impl From<CodecError> for Unanswered {
    fn from(error: CodecError) -> Self {
        Unanswered::Codec(Arc::new(error))
    }
}

/// How long an answer that says no waits for those that say yes.
const DISSENT_PATIENCE: Duration = Duration::from_millis(100);

/// What has become of the answers to one message.
///
/// paxakos gives up at the first conflict that it sees. A single voter could so prevent every election and every write,
/// true or not; Paxos needs no more than a quorum that agrees. So a conflict is held back until the others answered, and
/// is dropped if a quorum said yes.
#[derive(Debug)]
struct Tally {
    needed: usize,
    given: AtomicUsize,
    outstanding: watch::Sender<usize>,
}

/// One answer that is awaited; over when dropped.
#[derive(Debug)]
struct Awaited(Arc<Tally>);

impl Tally {
    fn new(seat: &Seat, receivers: usize) -> Arc<Self> {
        let needed = seat.terms.voters.len().max(2) / 2;
        Arc::new(Tally { needed, given: AtomicUsize::new(0), outstanding: watch::Sender::new(receivers) })
    }
}

impl Awaited {
    /// This answer says yes.
    fn give(&self) {
        self.0.given.fetch_add(1, Ordering::Relaxed);
    }

    /// This answer says no: resolves when that may count.
    async fn dissent(self) -> Result<(), Unanswered> {
        let tally = Arc::clone(&self.0);
        drop(self);
        let mut outstanding = tally.outstanding.subscribe();
        let _ = tokio::time::timeout(DISSENT_PATIENCE, outstanding.wait_for(|outstanding| *outstanding == 0)).await;
        if tally.given.load(Ordering::Relaxed) >= tally.needed { Err(Unanswered::Outvoted) } else { Ok(()) }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.outstanding.send_modify(|outstanding| *outstanding = outstanding.saturating_sub(1));
    }
}

type Own = Shared<BoxFuture<'static, Result<(), NotLogged>>>;
type VoteOf = Vote<u64, u64, Entry, std::convert::Infallible>;
type AcceptanceOf = Acceptance<u64, Entry, (), std::convert::Infallible>;

/// The voters as one life of the keeper sees them.
#[derive(Debug)]
pub(crate) struct Communicator {
    seat: Arc<Seat>,
    base: Base,
}

impl Communicator {
    pub(crate) fn new(seat: Arc<Seat>, base: Base) -> Self {
        Communicator { seat, base }
    }

    fn payload(&self, request: PaxosRequest) -> Result<Bytes, Unanswered> {
        Ok(self.seat.envelope(request).encode()?)
    }

    /// One future a receiver; the disk of a single voter is answered for by `disk`.
    fn each<T, F>(
        receivers: &[Position],
        mut to: impl FnMut(Position) -> F,
    ) -> Vec<(&Position, BoxFuture<'static, Result<T, Unanswered>>)>
    where
        F: Future<Output = Result<T, Unanswered>> + Send + 'static,
    {
        receivers.iter().map(|receiver| (receiver, to(*receiver).boxed())).collect()
    }

    /// A commit: nobody's answer matters.
    fn tell<'a>(
        &self,
        receivers: &'a [Position],
        request: PaxosRequest,
        round: Round,
    ) -> Vec<(&'a Position, BoxFuture<'static, Result<Committed, Unanswered>>)> {
        self.seat.decide(round);
        let payload = self.payload(request);
        Self::each(receivers, |to| {
            let (seat, payload) = (Arc::clone(&self.seat), payload.clone());
            async move {
                if !is_disk(&seat, to) {
                    ask(&seat, to, payload?).await?;
                }
                Ok(Committed)
            }
        })
    }
}

fn own(durable: Durable) -> Own {
    durable.boxed().shared()
}

/// D3: in a cluster of one the second node is the voter's disk.
fn is_disk(seat: &Seat, to: Position) -> bool {
    seat.terms.voters.len() == 1 && to.0 == 1
}

async fn ask(seat: &Seat, to: Position, payload: Bytes) -> Result<(PaxosAnswer, Incarnation), Unanswered> {
    let peer = *seat.terms.voters.iter().nth(to.0).ok_or(Refused::NotAVoter)?;
    let answer = seat.network.request(peer, Channel::Paxos, payload, seat.terms.vote_timeout).await?;
    let envelope = Envelope::<PaxosAnswer>::decode(&answer)?;
    if !seat.belongs(&envelope) {
        return Err(Unanswered::Foreign);
    }
    Ok((envelope.body, envelope.incarnation))
}

/// What a refusal tells: the ballot that stands in the way, or the entry that the round was decided for.
fn conflict(seat: &Seat, ballot: Ballot, entry: Option<Entry>) -> Result<Conflict<u64, Entry>, Unanswered> {
    seat.hear_of(ballot)?;
    let guard = seat.guard();
    Ok(match entry {
        None => Conflict::Supplanted { coord_num: ballot },
        Some(entry) => {
            guard.entry(&entry)?;
            Conflict::Converged { coord_num: ballot, log_entry: Some((ballot.max(1), Arc::new(entry))) }
        }
    })
}

async fn prepare(
    seat: Arc<Seat>,
    base: Base,
    to: Position,
    (round, ballot): (Round, Ballot),
    own: Own,
    payload: Result<Bytes, Unanswered>,
    awaited: Awaited,
) -> Result<VoteOf, Unanswered> {
    let (answer, durable) = if is_disk(&seat, to) {
        (Ok((PaxosAnswer::Promise(Vec::new()), seat.terms.incarnation)), own.await)
    } else {
        futures::future::join(ask(&seat, to, payload?), own).await
    };
    durable?;
    let (answer, incarnation) = answer?;
    match answer {
        PaxosAnswer::Promise(rows) => {
            seat.guard().promise(round, ballot, &rows)?;
            if let Some(peer) = seat.terms.voters.iter().nth(to.0).copied() {
                seat.count(peer, incarnation, ballot).await?;
            }
            let rows: Vec<Accepted> = rows.into_iter().map(Accepted::from).collect();
            match seat.mandate().admit(ballot, &rows) {
                Ok(true) => {
                    awaited.give();
                    Ok(Vote::Given(promise(base, rows)))
                }
                Ok(false) => Err(Unanswered::Surplus),
                Err(torn) => {
                    // Somebody's log is corrupt, or somebody lies; an election without this promise is as good.
                    tracing::error!(peer = to.0, %torn, "a promise contradicts another one and does not count");
                    Err(torn.into())
                }
            }
        }
        PaxosAnswer::Supplanted { ballot } => {
            let conflict = conflict(&seat, ballot, None)?;
            awaited.dissent().await?;
            Ok(Vote::Conflicted(conflict))
        }
        PaxosAnswer::Converged { ballot, entry } => {
            let conflict = conflict(&seat, ballot, entry)?;
            awaited.dissent().await?;
            seat.decide(round);
            Ok(Vote::Conflicted(conflict))
        }
        _ => Err(Refused::WrongAnswer.into()),
    }
}

fn promise(base: Base, rows: Vec<Accepted>) -> Promise<u64, u64, Entry> {
    let conditions: Vec<Condition<u64, u64, Entry>> = rows
        .into_iter()
        .filter_map(|row| {
            base.local(row.round).map(|round| Condition {
                round_num: round,
                coord_num: row.ballot,
                log_entry: Arc::new(row.entry),
            })
        })
        .collect();
    Promise::from(conditions)
}

async fn propose(
    seat: Arc<Seat>,
    to: Position,
    (round, ballot): (Round, Ballot),
    own: Own,
    payload: Result<Bytes, Unanswered>,
    awaited: Awaited,
) -> Result<AcceptanceOf, Unanswered> {
    let (answer, durable) = if is_disk(&seat, to) {
        (Ok((PaxosAnswer::Accepted, seat.terms.incarnation)), own.await)
    } else {
        futures::future::join(ask(&seat, to, payload?), own).await
    };
    durable?;
    let (answer, incarnation) = answer?;
    match answer {
        PaxosAnswer::Accepted => {
            if let Some(peer) = seat.terms.voters.iter().nth(to.0).copied() {
                seat.count(peer, incarnation, ballot).await?;
            }
            awaited.give();
            Ok(Acceptance::Given(()))
        }
        PaxosAnswer::Supplanted { ballot } => {
            let conflict = conflict(&seat, ballot, None)?;
            awaited.dissent().await?;
            Ok(Acceptance::Conflicted(conflict))
        }
        PaxosAnswer::Converged { ballot, entry } => {
            let conflict = conflict(&seat, ballot, entry)?;
            awaited.dissent().await?;
            seat.decide(round);
            Ok(Acceptance::Conflicted(conflict))
        }
        _ => Err(Refused::WrongAnswer.into()),
    }
}

impl paxakos::communicator::Communicator for Communicator {
    type Node = Position;
    type RoundNum = u64;
    type CoordNum = u64;
    type LogEntry = Entry;
    type Error = Unanswered;
    type SendPrepare = BoxFuture<'static, Result<VoteOf, Unanswered>>;
    type Abstain = std::convert::Infallible;
    type SendProposal = BoxFuture<'static, Result<AcceptanceOf, Unanswered>>;
    type Yea = ();
    type Nay = std::convert::Infallible;
    type SendCommit = BoxFuture<'static, Result<Committed, Unanswered>>;
    type SendCommitById = BoxFuture<'static, Result<Committed, Unanswered>>;

    fn send_prepare<'a>(
        &mut self,
        receivers: &'a [Position],
        round: u64,
        ballot: u64,
    ) -> Vec<(&'a Position, Self::SendPrepare)> {
        if ballot == 0 {
            return Self::each(receivers, |_| async { Err(Unanswered::Poll) });
        }
        let round = self.base.global(round);
        let voters = self.seat.terms.voters.len().max(2);
        self.seat.observe(ballot);
        let accepted: Vec<Accepted> = self.seat.log.durable(|log: &Mirror| log.accepted_from(round).collect());
        self.seat.mandate().begin(ballot, voters / 2, accepted.into_iter());
        self.seat.open_gate();
        let own = own(self.seat.log.promise(ballot));
        let payload = self.payload(PaxosRequest::Prepare { round, ballot });
        let tally = Tally::new(&self.seat, receivers.len());
        Self::each(receivers, |to| {
            let (seat, awaited) = (Arc::clone(&self.seat), Awaited(Arc::clone(&tally)));
            prepare(seat, self.base, to, (round, ballot), own.clone(), payload.clone(), awaited)
        })
    }

    fn send_proposal<'a>(
        &mut self,
        receivers: &'a [Position],
        round: u64,
        ballot: u64,
        entry: Arc<Entry>,
    ) -> Vec<(&'a Position, Self::SendProposal)> {
        let round = self.base.global(round);
        let checked = {
            let mut mandate = self.seat.mandate();
            // What was applied just now may still be on its way from here, so the last rounds are kept.
            mandate.forget_through(self.seat.replica.applied().saturating_sub(ROUNDS_AHEAD));
            mandate.check(round, ballot, entry.id)
        };
        if let Err(overreach) = checked {
            self.seat.stop(overreach.clone());
            return Self::each(receivers, |_| futures::future::ready(Err(overreach.clone().into())));
        }
        self.seat.note_seal(round, &entry);
        let own = own(self.seat.log.accept(round, ballot, Entry::clone(&entry)));
        let payload = self.payload(PaxosRequest::Propose { round, ballot, entry: Entry::clone(&entry) });
        let tally = Tally::new(&self.seat, receivers.len());
        Self::each(receivers, |to| {
            let (seat, awaited) = (Arc::clone(&self.seat), Awaited(Arc::clone(&tally)));
            propose(seat, to, (round, ballot), own.clone(), payload.clone(), awaited)
        })
    }

    fn send_commit<'a>(
        &mut self,
        receivers: &'a [Position],
        round: u64,
        ballot: u64,
        entry: Arc<Entry>,
    ) -> Vec<(&'a Position, Self::SendCommit)> {
        let round = self.base.global(round);
        self.tell(receivers, PaxosRequest::Commit { round, ballot, entry: Entry::clone(&entry) }, round)
    }

    fn send_commit_by_id<'a>(
        &mut self,
        receivers: &'a [Position],
        round: u64,
        ballot: u64,
        id: EntryId,
    ) -> Vec<(&'a Position, Self::SendCommitById)> {
        let round = self.base.global(round);
        self.tell(receivers, PaxosRequest::CommitById { round, ballot, id }, round)
    }
}

/// The row as paxakos hands it out, with its global round.
pub(crate) fn row(base: Base, condition: Condition<u64, u64, Entry>) -> AcceptedRow {
    AcceptedRow {
        round: base.global(condition.round_num),
        ballot: condition.coord_num,
        entry: Entry::clone(&condition.log_entry),
    }
}
