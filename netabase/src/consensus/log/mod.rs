//! The acceptor log: what this node promised, accepted and knows to be chosen, in a redb file of its own.
//!
//! ```text
//! Promise, Accept, Chosen, Meet, Enter ▶ bounded queue ──▶ one writer thread ──▶ one synced commit a group ──▶ waiters
//!                                                                        └─▶ mirror (memory, after the commit)
//! ```
//!
//! Must hold: a waiter hears `Ok` only when its record is fsynced (D1, D2); requests become durable in the order in
//! which they were made; the mirror never runs ahead of the file (D4); after a failed commit nothing is ever answered
//! again (D13); a chosen row never changes (D10); nothing of an epoch is logged once a later one is entered. Used by the acceptor, the communicator, catch-up and the node's start.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
#[cfg(all(test, unix))]
mod growth;
mod home;
mod layout;
mod mirror;
mod open;
mod pause;
mod tally;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use redb::{Database, ReadableDatabase};
use tokio::sync::oneshot;

use self::home::Home;
pub(crate) use self::home::Reopen;
pub(crate) use self::layout::{Accepted, PeerRow};
pub(crate) use self::mirror::Mirror;
use self::tally::Tally;
use self::writer::{Op, Queue};
use crate::command::Entry;
use crate::consensus::id::{Ballot, ClusterId, Epoch, Incarnation, Round};
use crate::error::{Error, Result};

/// The log did not take the record: it failed, was closed, or its queue is full. The vote must not leave the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the acceptor log did not take the record")]
pub(crate) struct NotLogged;

/// What a log belongs to; checked whenever it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) cluster: ClusterId,
    pub(crate) incarnation: Incarnation,
}

/// The acceptor log, as one epoch writes to it. Cheap to clone; every clone feeds the same writer, which takes nothing of
/// an epoch that was left.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    epoch: Epoch,
    queue: Queue,
    mirror: Arc<Mutex<Mirror>>,
    tally: Arc<Mutex<Tally>>,
    home: Home,
}

impl Log {
    /// Opens the log of `owner` in this database, in the epoch that was entered last, and starts its writer thread.
    ///
    /// # Errors
    /// [`Error::DataDirectory`] when the log is damaged, of another format, or belongs to another cluster or directory.
    pub(crate) fn open(database: Database, owner: Owner) -> Result<Self> {
        let mirror = open::prepare(&database, owner)?;
        let epoch = mirror.epoch();
        let home = Home::new(database);
        let mirror = Arc::new(Mutex::new(mirror));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let queue = writer::spawn(home.clone(), Arc::clone(&mirror), Arc::clone(&tally))?;
        Ok(Log { epoch, queue, mirror, tally, home })
    }

    /// The same, when it is known how the file is opened again: a disk that was full is then waited for.
    pub(crate) fn reopened_with(self, reopen: Reopen) -> Self {
        self.home.reopen_with(reopen);
        self
    }

    /// Leaves this log's epoch for a later one, which begins after the round of `seal`. What was submitted before is
    /// durable when this resolves, and what is submitted to the old one from now on is not logged.
    ///
    /// # Errors
    /// [`NotLogged`] when the log failed.
    pub(crate) async fn enter(&self, epoch: Epoch, seal: Round) -> Result<Log, NotLogged> {
        self.submit(|done| Op::Enter { epoch, seal, done }).await?;
        Ok(Log { epoch, ..self.clone() })
    }

    /// The epoch that this log writes to.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Looks at what is durable.
    pub(crate) fn durable<T>(&self, look: impl FnOnce(&Mirror) -> T) -> T {
        look(&self.mirror.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when a promise to vote under no lower ballot than this one is durable.
    pub(crate) fn promise(&self, ballot: Ballot) -> Durable {
        self.submit(|done| Op::Promise { ballot, done })
    }

    /// Resolves when this acceptance is durable. A round keeps the acceptance with the higher ballot.
    pub(crate) fn accept(&self, round: Round, ballot: Ballot, entry: Entry) -> Durable {
        self.submit(|done| Op::Accept { round, ballot, entry, done })
    }

    /// Notes that `entry` is chosen in `round`, which must follow the last round noted. It becomes durable with the next
    /// group, or soon after.
    pub(crate) fn chosen(&self, round: Round, entry: Entry) -> Result<(), NotLogged> {
        self.queue.send_blocking(self.epoch, Op::Chosen { round, entry })
    }

    /// Resolves when everything submitted before is durable.
    pub(crate) fn barrier(&self) -> Durable {
        self.submit(|done| Op::Barrier { done })
    }

    /// Resolves when it is durable in which life this peer was met, or in which it was met before, and what was counted.
    pub(crate) fn meet(&self, peer: PeerId, row: PeerRow) -> Durable {
        self.submit(|done| Op::Meet { peer, row, done })
    }

    /// Drops the chosen rows at or below `through`; the caller knows that nobody needs them.
    pub(crate) fn prune(&self, through: Round) -> Result<(), NotLogged> {
        self.queue.send(self.epoch, Op::Prune { through })
    }

    /// Resolves when it is durable that the store holds everything at or below `round`, a round of `epoch`: those rows are
    /// gone, what was accepted above and every promise stays (D8, D10). A later epoch than this log's is entered afterwards.
    pub(crate) fn install(&self, epoch: Epoch, round: Round) -> Durable {
        self.submit(|done| Op::Install { epoch, through: round, done })
    }

    /// Chosen rows from `from` on, of whatever epoch, as many as fit into `bytes_max` (at least one), without a gap.
    ///
    /// # Errors
    /// [`Error::Storage`] when the file cannot be read.
    pub(crate) fn read_chosen(&self, from: Round, bytes_max: usize) -> Result<Vec<Accepted>> {
        let spans = self.durable(|log| log.chosen_from(from));
        if spans.is_empty() { Ok(Vec::new()) } else { open::read_rows(&*self.home.database()?, spans, bytes_max) }
    }

    /// Counts what was there before the start. Reads all of it, so it is for a thread of its own.
    ///
    /// # Errors
    /// [`Error::Storage`] when the file cannot be read.
    pub(crate) fn weigh(&self) -> Result<()> {
        const PAGE_BYTES: usize = 4 << 20;
        let mut older = Tally::default();
        let Some(mut from) = open::first_round(&*self.home.database()?)? else { return Ok(()) };
        loop {
            let rows = self.read_chosen(from, PAGE_BYTES)?;
            let Some(last) = rows.last() else { break };
            from = last.round + 1;
            rows.iter().for_each(|row| older.note(row.round, row.entry.body.len()));
        }
        self.tally().prepend(older);
        Ok(())
    }

    /// What the chosen rows above a round take, about.
    pub(crate) fn bytes_above(&self, round: Round) -> u64 {
        self.tally().bytes_above(round)
    }

    /// The round through which rows would have to be dropped for the rest to fit into so many bytes; 0: it does.
    pub(crate) fn excess(&self, bytes_max: u64) -> Round {
        self.tally().excess(bytes_max)
    }

    /// How far towards `wanted` one commit may prune, so that votes do not wait for long.
    pub(crate) fn prune_step(&self, wanted: Round) -> Round {
        self.tally().step(wanted)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the writer has been busy with the group in hand (D13: a stuck disk must not look alive).
    pub(crate) fn busy_for(&self) -> Duration {
        self.queue.busy_for()
    }

    /// Why the writer stopped, or why it is paused.
    pub(crate) fn failure(&self) -> Option<Arc<Error>> {
        self.queue.failure()
    }

    /// Whether it does nothing until there is room on the disk.
    pub(crate) fn is_paused(&self) -> bool {
        self.queue.is_paused()
    }

    /// How often it was paused: after each time, what was asked of it may have been left undone.
    pub(crate) fn pauses(&self) -> u64 {
        self.queue.pauses()
    }

    /// Whether it stopped only because the disk was full.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// Resolves when the file is closed: after the last clone of this log is dropped.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.queue.ended()
    }

    fn submit(&self, op: impl FnOnce(oneshot::Sender<()>) -> Op) -> Durable {
        let (done, durable) = oneshot::channel();
        match self.queue.send(self.epoch, op(done)) {
            Ok(()) => Durable(Some(durable)),
            Err(NotLogged) => Durable(None),
        }
    }
}

/// Resolves when a record is durable, or with [`NotLogged`] when it never will be.
#[derive(Debug)]
pub(crate) struct Durable(Option<oneshot::Receiver<()>>);

impl Durable {
    /// Whether the record is in the queue, and so becomes durable before any later one unless the log fails.
    pub(crate) fn is_queued(&self) -> bool {
        self.0.is_some()
    }
}

impl Future for Durable {
    type Output = Result<(), NotLogged>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        match &mut self.0 {
            Some(done) => std::pin::Pin::new(done).poll(cx).map(|done| done.map_err(|_| NotLogged)),
            None => std::task::Poll::Ready(Err(NotLogged)),
        }
    }
}

/// Begins a read transaction, with the error a caller of Netabase understands.
fn read(database: &Database) -> Result<redb::ReadTransaction> {
    database.begin_read().map_err(|source| Error::storage("the consensus log cannot be read", source))
}
