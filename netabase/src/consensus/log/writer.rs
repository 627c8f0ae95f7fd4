//! The one thread that commits the acceptor log: it gathers whatever is waiting into one synced transaction (D4).
//!
//! Must hold: nobody hears of a record before its commit returned; after one failed commit the thread ends, and every
//! waiter, present and future, hears that its record was not logged (D13). When the disk was merely full, it goes on once
//! there is room (`pause`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use redb::{Durability, ReadableTable};
use tokio::sync::{oneshot, watch};

use super::NotLogged;
use super::home::Home;
use super::layout::{BALLOTS, CHOSEN, ENTRIES, PEERS, PeerRow, entry_row, read_entry_head};
use super::mirror::Mirror;
use super::tally::Tally;
use super::{open, pause};
use crate::command::Entry;
use crate::consensus::id::{Ballot, Epoch, Round};
use crate::error::{Error, Result};
use crate::schema::codec;

/// Records that may wait for the disk. A full queue refuses: not voting is always safe.
const QUEUE_RECORDS: usize = 16_384;
/// Records gathered into one commit.
const GROUP_RECORDS: usize = 4_096;
/// Bytes of entries gathered into one commit.
const GROUP_BYTES: usize = 8 << 20;
/// How long a note that nobody waits for may stay in memory.
const LAZY: Duration = Duration::from_millis(10);

/// One request to the writer.
#[derive(Debug)]
pub(super) enum Op {
    Promise { ballot: Ballot, done: oneshot::Sender<()> },
    Accept { round: Round, ballot: Ballot, entry: Entry, done: oneshot::Sender<()> },
    Chosen { round: Round, entry: Entry },
    Meet { peer: PeerId, row: PeerRow, done: oneshot::Sender<()> },
    Barrier { done: oneshot::Sender<()> },
    Prune { through: Round },
    Install { epoch: Epoch, through: Round, done: oneshot::Sender<()> },
    Enter { epoch: Epoch, seal: Round, done: oneshot::Sender<()> },
}

/// A request of one epoch.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) epoch: u64,
    pub(super) op: Op,
}

/// The sending side: bounded, and never blocks its caller.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    sender: SyncSender<Request>,
    watch: Arc<Watch>,
    ended: watch::Receiver<()>,
}

#[derive(Debug)]
struct Watch {
    started: Instant,
    /// Milliseconds after `started` at which the group in hand was begun, plus one; 0 when idle.
    busy_since: AtomicU64,
    failure: Mutex<Option<Failure>>,
    /// How often it was paused.
    pauses: AtomicU64,
}

#[derive(Clone, Debug)]
struct Failure {
    error: Arc<Error>,
    extent: Extent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// The disk is full; the writer waits for room.
    Paused,
    /// The disk was full, and nothing else was wrong with it.
    Full,
    Failed,
}

impl Watch {
    fn fail(&self, error: Error, extent: Extent) {
        *self.lock() = Some(Failure { error: Arc::new(error), extent });
    }

    fn pause(&self, error: Error) {
        self.fail(error, Extent::Paused);
        self.pauses.fetch_add(1, Ordering::Relaxed);
    }

    fn resume(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    pub(super) fn send(&self, epoch: Epoch, op: Op) -> Result<(), NotLogged> {
        self.sender.try_send(Request { epoch: epoch.0, op }).map_err(|_| NotLogged)
    }

    /// Waits for room: a chosen round must not be left out, and a node whose disk is this far behind must not look alive.
    pub(super) fn send_blocking(&self, epoch: Epoch, op: Op) -> Result<(), NotLogged> {
        self.sender.send(Request { epoch: epoch.0, op }).map_err(|_| NotLogged)
    }

    pub(super) fn busy_for(&self) -> Duration {
        match self.watch.busy_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.watch.started.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    pub(super) fn failure(&self) -> Option<Arc<Error>> {
        self.watch.lock().as_ref().map(|failure| Arc::clone(&failure.error))
    }

    pub(super) fn is_full(&self) -> bool {
        self.watch.lock().as_ref().is_some_and(|failure| failure.extent != Extent::Failed)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.watch.lock().as_ref().is_some_and(|failure| failure.extent == Extent::Paused)
    }

    pub(super) fn pauses(&self) -> u64 {
        self.watch.pauses.load(Ordering::Relaxed)
    }

    /// Resolves when the writer has ended and let go of the file.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        async move { while ended.changed().await.is_ok() {} }
    }
}

pub(super) fn spawn(home: Home, mirror: Arc<Mutex<Mirror>>, tally: Arc<Mutex<Tally>>) -> Result<Queue> {
    let (sender, receiver) = sync_channel(QUEUE_RECORDS);
    let watch = Arc::new(Watch {
        started: Instant::now(),
        busy_since: AtomicU64::new(0),
        failure: Mutex::default(),
        pauses: AtomicU64::new(0),
    });
    let (alive, ended) = watch::channel(());
    let epoch = mirror.lock().unwrap_or_else(PoisonError::into_inner).epoch;
    let writer = Writer { home, mirror, tally, epoch, watch: Arc::clone(&watch) };
    std::thread::Builder::new()
        .name("netabase-log".into())
        .spawn(move || {
            writer.run(&receiver);
            drop(alive);
        })
        .map_err(|source| Error::storage("the thread of the consensus log cannot be started", source))?;
    Ok(Queue { sender, watch, ended })
}

pub(super) struct Writer {
    pub(super) home: Home,
    mirror: Arc<Mutex<Mirror>>,
    tally: Arc<Mutex<Tally>>,
    pub(super) epoch: u64,
    watch: Arc<Watch>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Request>) {
        let mut group = Group::default();
        while group.gather(receiver) {
            // What is of an epoch that was left is not logged, and whoever waits for it hears so.
            group.ops.retain(|request| request.epoch == self.epoch);
            let began = u64::try_from(self.watch.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.watch.busy_since.store(began + 1, Ordering::Relaxed);
            if let Err(source) = self.commit(&group.ops) {
                tracing::error!(%source, "the consensus log failed; this node stops voting");
                let full = pause::is_full(&source);
                if full && self.home.can_be_reopened() {
                    self.watch.pause(Error::storage(
                        "the disk is full, and nothing is voted on here: free some space, then this node goes on by itself",
                        source,
                    ));
                    group.next = None;
                    match self.wait_for_room(receiver, &mut group.ops) {
                        Ok(true) => {
                            tracing::info!("the consensus log was opened anew: there is room again");
                            self.watch.busy_since.store(0, Ordering::Relaxed);
                            self.watch.resume();
                            continue;
                        }
                        Ok(false) => return,
                        Err(error) => {
                            tracing::error!(%error, "the consensus log cannot be opened anew; this node stops voting");
                            self.watch.fail(error, Extent::Failed);
                            return;
                        }
                    }
                }
                let error = Error::storage(
                    "the consensus log cannot be written: check the disk, free space if it is full, then start this node again",
                    source,
                );
                self.watch.fail(error, if full { Extent::Full } else { Extent::Failed });
                // Dropping the group and the receiver tells every waiter that its record was not logged.
                return;
            }
            self.watch.busy_since.store(0, Ordering::Relaxed);
            if let Err(error) = self.publish(&mut group.ops) {
                tracing::error!(%error, "the consensus log cannot be read back; this node stops voting");
                self.watch.fail(error, Extent::Failed);
                return;
            }
        }
    }

    /// One transaction, one fsync.
    pub(super) fn commit(&self, group: &[Request]) -> Result<(), redb::Error> {
        let database = self.home.database().map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        self.write(&transaction, group)?;
        Ok(transaction.commit()?)
    }

    fn write(&self, transaction: &redb::WriteTransaction, group: &[Request]) -> Result<(), redb::Error> {
        let mut entries = transaction.open_table(ENTRIES)?;
        let chosen = self.mirror.lock().unwrap_or_else(PoisonError::into_inner).chosen;
        let mut greatest = 0;
        let mut through = 0;
        let mut peers: HashMap<PeerId, PeerRow> = HashMap::new();
        for Request { op, .. } in group {
            match op {
                Op::Promise { ballot, .. } => greatest = greatest.max(*ballot),
                Op::Accept { round, ballot, entry, .. } => {
                    greatest = greatest.max(*ballot);
                    if *round <= chosen.max(through) {
                        continue; // A chosen row never changes (D10).
                    }
                    let stored = entries.get((self.epoch, *round))?.and_then(|row| read_entry_head(row.value()));
                    if stored.is_none_or(|(stored, _)| stored < *ballot) {
                        entries.insert((self.epoch, *round), entry_row(*ballot, entry).as_slice())?;
                    }
                }
                // A chosen row never changes (D10), whatever is said of it later.
                Op::Chosen { round, .. } if *round <= chosen.max(through) => {}
                Op::Chosen { round, entry } => {
                    through = through.max(*round);
                    let stored = entries.get((self.epoch, *round))?.and_then(|row| read_entry_head(row.value()));
                    // What was learned without having been accepted, or replaces what was accepted but not chosen.
                    if stored.is_none_or(|(_, id)| id != entry.id) {
                        let ballot = stored.map_or(0, |(ballot, _)| ballot);
                        entries.insert((self.epoch, *round), entry_row(ballot, entry).as_slice())?;
                    }
                }
                Op::Meet { peer, row, .. } => {
                    let remembered = peers.get(peer).copied().or_else(|| self.remembered(peer));
                    peers.insert(*peer, PeerRow::updated(remembered, *row));
                }
                Op::Barrier { .. } => {}
                Op::Prune { through } => {
                    for epoch in self.epochs() {
                        entries.retain_in((epoch, 0)..=(epoch, *through), |_, _| false)?;
                    }
                }
                Op::Install { epoch, through: round, .. } => {
                    if epoch.0 == self.epoch {
                        through = through.max(*round);
                    }
                    raise(&mut transaction.open_table(CHOSEN)?, epoch.0, *round)?;
                    for epoch in self.epochs() {
                        entries.retain_in((epoch, 0)..=(epoch, *round), |_, _| false)?;
                    }
                }
                Op::Enter { epoch, seal, .. } => raise(&mut transaction.open_table(CHOSEN)?, epoch.0, *seal)?,
            }
        }
        for (peer, row) in peers {
            let row = codec::encode(&row).map_err(|e| redb::Error::Corrupted(e.to_string()))?;
            transaction.open_table(PEERS)?.insert(peer.to_bytes().as_slice(), row.as_slice())?;
        }
        raise(&mut transaction.open_table(BALLOTS)?, self.epoch, greatest)?;
        raise(&mut transaction.open_table(CHOSEN)?, self.epoch, through)?;
        Ok(())
    }

    /// Those that have rows.
    fn epochs(&self) -> Vec<u64> {
        let mirror = self.mirror.lock().unwrap_or_else(PoisonError::into_inner);
        mirror.sealed.keys().copied().chain([self.epoch]).collect()
    }

    pub(super) fn lock_mirror(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, peer: &PeerId) -> Option<PeerRow> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner).peer(peer)
    }

    /// The commit is done: memory follows, then the waiters hear of it.
    pub(super) fn publish(&mut self, group: &mut Vec<Request>) -> Result<()> {
        let mut waiters = Vec::with_capacity(group.len());
        {
            let mut mirror = self.mirror.lock().unwrap_or_else(PoisonError::into_inner);
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            let mut through = 0;
            for Request { op, .. } in group.drain(..) {
                match op {
                    Op::Promise { ballot, done } => {
                        mirror.ballot = mirror.ballot.max(ballot);
                        waiters.push(done);
                    }
                    Op::Accept { round, ballot, entry, done } => {
                        mirror.accept(round, ballot, entry);
                        waiters.push(done);
                    }
                    Op::Chosen { round, entry } => {
                        if round > through.max(mirror.chosen) {
                            tally.note(round, entry.body.len());
                        }
                        through = round.max(through);
                    }
                    Op::Install { epoch, through: round, done } => {
                        if epoch.0 == self.epoch {
                            through = round.max(through);
                        }
                        tally.drop_through(round);
                        waiters.push(done);
                    }
                    Op::Meet { peer, row, done } => {
                        let row = PeerRow::updated(mirror.peer(&peer), row);
                        mirror.peers.insert(peer, row);
                        waiters.push(done);
                    }
                    Op::Barrier { done } => waiters.push(done),
                    Op::Prune { through } => tally.drop_through(through),
                    Op::Enter { epoch, done, .. } => {
                        // It is alone in its group, and what it needs was committed just now.
                        *mirror = open::load(&*self.home.database()?, epoch.0)?;
                        self.epoch = epoch.0;
                        waiters.push(done);
                    }
                }
            }
            if through > 0 {
                mirror.choose(through);
            }
        }
        for waiter in waiters {
            let _ = waiter.send(());
        }
        Ok(())
    }
}

/// What is committed together.
#[derive(Default)]
struct Group {
    ops: Vec<Request>,
    /// What came and has to go into the next one.
    next: Option<Request>,
    bytes: usize,
}

impl Group {
    /// Fills it with what is waiting; `false` when every sender is gone and nothing is left.
    ///
    /// A group of which nobody waits for any record is held back for a moment, so that notes of chosen rounds ride on the
    /// next commit instead of costing an fsync of their own. Entering an epoch is a group of its own.
    fn gather(&mut self, receiver: &Receiver<Request>) -> bool {
        self.ops.clear();
        self.bytes = 0;
        let mut hold_until: Option<Instant> = None;
        if let Some(next) = self.next.take() {
            self.take(next);
        }
        loop {
            while !self.is_complete() {
                match receiver.try_recv() {
                    Ok(request) => self.take(request),
                    Err(_) => break,
                }
            }
            if self.is_complete() || self.ops.iter().any(|request| request.op.is_awaited()) {
                return true;
            }
            let received = if self.ops.is_empty() {
                receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                let until = *hold_until.get_or_insert_with(|| Instant::now() + LAZY);
                receiver.recv_timeout(until.saturating_duration_since(Instant::now()))
            };
            match received {
                Ok(request) => self.take(request),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return !self.ops.is_empty(),
            }
        }
    }

    fn take(&mut self, request: Request) {
        if matches!(request.op, Op::Enter { .. }) && !self.ops.is_empty() {
            self.next = Some(request);
            return;
        }
        self.bytes += request.op.bytes();
        self.ops.push(request);
    }

    fn is_complete(&self) -> bool {
        let enters = self.ops.first().is_some_and(|request| matches!(request.op, Op::Enter { .. }));
        self.next.is_some() || enters || self.ops.len() >= GROUP_RECORDS || self.bytes >= GROUP_BYTES
    }
}

impl Op {
    fn is_awaited(&self) -> bool {
        !matches!(self, Op::Chosen { .. } | Op::Prune { .. })
    }

    fn bytes(&self) -> usize {
        match self {
            Op::Accept { entry, .. } | Op::Chosen { entry, .. } => entry.body.len(),
            _ => 0,
        }
    }
}

/// Numbers of the log only ever grow.
fn raise(table: &mut redb::Table<'_, u64, u64>, epoch: u64, number: u64) -> Result<(), redb::Error> {
    let stored = table.get(epoch)?.map_or(0, |stored| stored.value());
    if number > stored {
        table.insert(epoch, number)?;
    }
    Ok(())
}
