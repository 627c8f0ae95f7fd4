//! One life of paxakos on this node: woken from the log, polled, and given up when it fails.
//!
//! Must hold: a life begins only after everything its predecessor sent to the log is durable or lost; appends are made
//! through [`Life::append`], whose future is never dropped before it resolves, except with the whole life (D12).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::future::poll_fn;
use paxakos::append::{AppendArgs, AppendError, Importance, Peeryness};
use paxakos::node::builder::NodeBuilderBlank;
use paxakos::retry::DoNotRetry;
use paxakos::{Event, NodeHandle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::acceptor::Acceptor;
use super::communicator::Communicator;
use super::id::Round;
use super::paxakos_types::{Applier, Base, LocalExecutor, NoBuffer, Position, Types};
use super::replica::ReplicaFailed;
use super::seat::Seat;
use super::snapshot;
use crate::command::Entry;

/// Why a life of the keeper ended.
#[derive(Debug)]
pub(crate) enum Death {
    /// The store or the log failed: the node goes down.
    Failed(ReplicaFailed),
    /// paxakos ended by itself, which only a panic inside it does.
    Panicked,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The entry was chosen, in this round.
    Chosen(Round),
    /// A round was decided, but for another entry.
    Railroaded,
    /// The round was decided meanwhile.
    Converged,
    /// No quorum answered: the round is open and has to be closed.
    NoQuorum,
    /// Another ballot stands in the way.
    Lost,
    /// The keeper is gone.
    Gone,
}

/// A living keeper.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) acceptor: Arc<Acceptor>,
    handle: NodeHandle<Types>,
    shell: JoinHandle<Option<ReplicaFailed>>,
    keeper: JoinHandle<()>,
}

impl Life {
    /// Wakes a keeper from the log at the last applied round (D7).
    pub(crate) async fn begin(seat: &Arc<Seat>) -> Result<Self, Death> {
        // What the previous life still had on its way to the log must be part of what this one remembers.
        if seat.log.barrier().await.is_err() {
            let error = seat.log.failure().unwrap_or_else(|| Arc::new(crate::Error::ShutDown));
            return Err(Death::Failed(ReplicaFailed(error)));
        }
        let base = Base(seat.replica.applied());
        let voters = seat.terms.voters.len();
        let snapshot = seat.log.durable(|log| snapshot::resume(log, base, voters)).map_err(|error| {
            tracing::error!(%error, "the keeper cannot be woken from the log");
            Death::Panicked
        })?;
        let position = seat.terms.voters.position(&seat.terms.me).ok_or(Death::Panicked)?;
        let (spawned, keeper) = oneshot::channel();
        let (handler, mut shell) = NodeBuilderBlank::<Types>::new()
            .for_node(Position(position))
            .communicating_via(Communicator::new(Arc::clone(seat), base))
            .resuming_from(snapshot)
            .buffering_applied_entries_in(NoBuffer)
            .in_context(Applier { replica: Arc::clone(&seat.replica), epoch: seat.terms.epoch, next: base.0 + 1 })
            .spawn_using(LocalExecutor(spawned))
            .await
            .map_err(|_| Death::Panicked)?;
        let keeper = keeper.await.map_err(|_| Death::Panicked)?;
        let handle = shell.handle();
        let shell = tokio::task::spawn_local(async move {
            // Events must be polled, or the keeper stops voting; only one of them matters here.
            loop {
                if let Event::Eject { reason, .. } = poll_fn(|cx| shell.poll_events(cx)).await {
                    return Some(reason);
                }
            }
        });
        let acceptor = Arc::new(Acceptor::new(Arc::clone(seat), base, handler));
        Ok(Life { acceptor, handle, shell, keeper })
    }

    /// Resolves when this life ends.
    pub(crate) async fn ended(&mut self) -> Death {
        match (&mut self.shell).await {
            Ok(Some(failed)) => Death::Failed(failed),
            Ok(None) | Err(_) => Death::Panicked,
        }
    }

    /// What makes appends in this life.
    pub(crate) fn appender(&self) -> Appender {
        let Acceptor { seat, base, .. } = &*self.acceptor;
        Appender { seat: Arc::clone(seat), base: *base, handle: self.handle.clone() }
    }
}

/// How long paxakos may take to notice that the round of a campaign is decided.
const OVERTAKEN: Duration = Duration::from_millis(20);

/// Makes appends in one life of the keeper.
///
/// The futures must be driven until they resolve: a dropped append may leave a round open for ever.
#[derive(Clone, Debug)]
pub(crate) struct Appender {
    seat: Arc<Seat>,
    base: Base,
    handle: NodeHandle<Types>,
}

impl Appender {
    /// The campaign: alone, at exactly the round after the last applied one (D12).
    pub(crate) async fn campaign(&self, round: Round, entry: Entry) -> Appended {
        // What this node is about to accept must be in its promise, or not be accepted at all: wait for it, and hold
        // back what comes after until the prepare is on its way.
        self.seat.close_gate().await;
        let appended = match self.base.local(round) {
            Some(local) => tokio::select! {
                biased;
                appended = self.append_at(entry, local..=local, Importance::GainLeadership) => appended,
                () = self.overtaken(round) => Appended::Converged,
            },
            None => Appended::Converged,
        };
        self.seat.open_gate();
        appended
    }

    /// Resolves when a campaign will never begin, since its round was decided while it was on its way into paxakos.
    ///
    /// paxakos then waits for the round to become free, for ever, once commits have come to it in such an order that it
    /// takes a decided round below for a free one. An append that is dropped there has said nothing to anybody, and leaves
    /// no round open.
    async fn overtaken(&self, round: Round) {
        let mut follow = self.seat.replica.follow();
        let decided = follow.wait_for(|applied| *applied >= round).await.is_ok();
        tokio::time::sleep(OVERTAKEN).await;
        if !decided || !self.seat.is_gate_closed() {
            // It is under way, and resolves by itself.
            std::future::pending().await
        }
    }

    /// An append of the leader, in any open round.
    pub(crate) async fn append(&self, entry: Entry) -> Appended {
        let next = self.seat.replica.applied() + 1;
        // Naming the first round keeps paxakos from walking every round of its life.
        let first = self.base.local(next).unwrap_or(1);
        self.append_at(entry, first..=u64::MAX, Importance::MaintainLeadership(Peeryness::Unpeery)).await
    }

    async fn append_at(&self, entry: Entry, round: RangeInclusive<u64>, importance: Importance) -> Appended {
        let args = AppendArgs { round, importance, retry_policy: DoNotRetry::<Types>::new() };
        match self.handle.append(entry, args).await {
            // Chosen; it is applied once every round before it is.
            Ok(commit) => Appended::Chosen(self.base.global(commit.round_num())),
            Err(AppendError::Railroaded) => Appended::Railroaded,
            Err(AppendError::Converged { .. }) => Appended::Converged,
            Err(AppendError::NoQuorum { .. }) => Appended::NoQuorum,
            Err(AppendError::Lost) => Appended::Lost,
            Err(_) => Appended::Gone,
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // With its tasks go all appends of this life and every vote that was not answered yet; of those that are answered
        // now, none may come to the log behind the next life's back.
        self.acceptor.retire();
        self.shell.abort();
        self.keeper.abort();
    }
}
