//! Catch-up from the logs of peers: a node that misses chosen rounds asks for them, a page at a time.
//!
//! Must hold: rows are applied in order, through the keeper where there is one (D8: nothing is installed into a keeper
//! that has voted); where a peer no longer has them, it goes over to a snapshot (`receive`, `install`); one fetch at a time; a peer that has nothing, or lies about how far it is, costs a pause, no more, and
//! its claim is forgotten once everyone was asked.
//! What a voter says was chosen is trusted (SAFETY.md).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::Member;
use super::answer::SYNC_BYTES_MAX;
use super::report::Report;
use crate::command::Entry;
use crate::consensus::acceptor::Acceptor;
use crate::consensus::id::{Epoch, Round};
use crate::consensus::leadership::Role;
use crate::consensus::log::Log;
use crate::consensus::message::{AcceptedRow, Envelope, SyncAnswer, SyncRequest};
use crate::consensus::replica::ReplicaFailed;
use crate::consensus::seat::Seat;
use crate::error::Result;
use crate::network::Channel;

/// How long a known round may be missing before it is asked for: commits usually arrive by themselves.
const PATIENCE: Duration = Duration::from_millis(20);
/// Pause after a peer had nothing new.
const PAUSE: Duration = Duration::from_millis(100);
/// The store is synced this often, or when this much waits: random keys cost it several times what the log's order
/// does, so rows are gathered and written sorted.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
const FLUSH_BYTES: usize = 16 << 20;
/// With as much waiting for the store, no new commands are taken and no rows fetched: rounds are applied faster than they
/// are written at random keys, and memory is bounded.
const OVERLAY_BYTES_MAX: usize = 4 * FLUSH_BYTES;
/// How long a campaign waits for a page.
const CAMPAIGN_PATIENCE: Duration = Duration::from_millis(300);
/// Rows are dropped from the log this many at a time.
const PRUNE_STEP: Round = 1_024;
/// How long a page may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the rows of a page may take to be applied.
const APPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of being behind.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    running: bool,
    due: Option<Instant>,
    /// The last applied round when lagging was noticed.
    seen: Round,
    /// Which peer to ask next.
    turn: usize,
    /// Peers asked since the last progress; once all were, a campaign need not wait.
    fruitless: usize,
    /// How many answers since the last progress held nothing; once there are as many as voters, claims are forgotten.
    empty: usize,
    /// Since when a campaign waits without progress.
    campaign: Option<Instant>,
    /// Who was asked since the last progress and had nothing, and who of them said that the rows are gone.
    asked: Vec<PeerId>,
    compacted: Option<PeerId>,
}

/// What came of asking a peer.
#[derive(Debug)]
pub(crate) struct Fetched {
    epoch: Epoch,
    peer: PeerId,
    /// How many rows were applied; `Err` when the replica failed.
    applied: Result<usize, ReplicaFailed>,
    /// Whether the peer answered at all.
    answered: bool,
    /// Whether it said that the rows are gone.
    compacted: bool,
}

/// A peer's answer.
enum Page {
    Rows(Vec<AcceptedRow>),
    Compacted,
}

impl Fetch {
    /// When to ask, if nothing changes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.running)
    }

    /// Something was applied, or a decided round became known.
    pub(super) fn on_progress(&mut self, applied: Round, decided: Round, now: Instant) {
        if applied >= decided {
            self.due = None;
            self.fruitless = 0;
        } else if self.due.is_none() || applied > self.seen {
            self.due = Some(now + PATIENCE);
        }
        self.seen = applied;
    }

    /// This peer had nothing. Gives who said that the rows are gone, once nobody is left whose log may reach farther back.
    fn out_of_reach(&mut self, peer: PeerId, compacted: bool, peers: &[PeerId]) -> Option<PeerId> {
        if !self.asked.contains(&peer) {
            self.asked.push(peer);
        }
        if compacted {
            self.compacted = Some(peer);
        }
        self.compacted.filter(|_| peers.iter().all(|peer| self.asked.contains(peer)))
    }

    fn on_rows(&mut self) {
        self.asked.clear();
        self.compacted = None;
    }

    /// Whether a campaign should wait for what is said to be decided: not for a peer that does not answer.
    pub(super) fn delays_campaign(&mut self, applied: Round, decided: Round, now: Instant) -> bool {
        if applied >= decided || self.fruitless > 0 {
            return false;
        }
        now.saturating_duration_since(*self.campaign.get_or_insert(now)) < CAMPAIGN_PATIENCE
    }

    pub(super) fn on_campaign_over(&mut self) {
        self.campaign = None;
    }

    /// What it went over to is over; the next rows are asked for at this time.
    pub(super) fn end(&mut self, next: Instant) {
        self.running = false;
        self.due = Some(next);
        (self.fruitless, self.empty, self.campaign) = (0, 0, None);
        self.on_rows();
    }
}

impl Member {
    pub(super) fn start_fetch_if_due(&mut self, now: Instant) {
        if self.fetch.due().is_some_and(|due| due <= now) {
            self.start_fetch(now);
        }
    }

    /// Asks a peer for the rows after the last applied round.
    pub(super) fn start_fetch(&mut self, now: Instant) {
        if self.fetch.running || self.awaits_snapshot() {
            return;
        }
        if self.integrity.is_rebuilding() {
            return self.fetch_anew();
        }
        // A voter's rows are applied by its keeper and by nothing beside it: whoever fetches without one could still be
        // applying when it is woken.
        if self.room.is_full() || self.is_store_behind() || (self.votes && self.life.is_none()) {
            self.fetch.due = Some(now + PAUSE);
            return;
        }
        let Some(peer) = self.whom_to_ask(now) else {
            self.fetch.fruitless += 1;
            self.fetch.due = Some(now + PAUSE);
            return;
        };
        self.fetch.running = true;
        let seat = Arc::clone(&self.seat);
        let acceptor = self.life.as_ref().map(|life| Arc::clone(&life.acceptor));
        let reports = self.reports.clone();
        tokio::task::spawn_local(async move {
            let page = ask(&seat, peer).await;
            let (answered, compacted) = (page.is_some(), matches!(page, Some(Page::Compacted)));
            let rows = if let Some(Page::Rows(rows)) = page { rows } else { Vec::new() };
            let applied = apply(&seat, acceptor.as_deref(), rows).await;
            let _ = reports
                .send(Report::Fetched(Fetched { epoch: seat.terms.epoch, peer, applied, answered, compacted }))
                .await;
        });
    }

    /// The leader, or else the greeted peers in turn.
    fn whom_to_ask(&mut self, now: Instant) -> Option<PeerId> {
        let greeted = |peer: &PeerId| self.acquaintances.knows(peer) && self.seat.network.is_connected(*peer);
        let leader = self.leadership.leader(now).filter(|leader| *leader != self.seat.terms.me);
        if let Some(leader) = leader.filter(greeted)
            && self.fetch.fruitless == 0
        {
            return Some(leader);
        }
        let peers = self.peers_to_ask();
        self.fetch.turn = self.fetch.turn.wrapping_add(1);
        (!peers.is_empty()).then(|| peers[self.fetch.turn % peers.len()])
    }

    /// Those that are known and connected.
    pub(super) fn peers_to_ask(&self) -> Vec<PeerId> {
        let connected = |peer: &PeerId| self.seat.network.is_connected(*peer);
        let mut peers: Vec<PeerId> = self.acquaintances.all().copied().filter(connected).collect();
        peers.sort_unstable();
        peers
    }

    pub(super) fn on_fetched(&mut self, now: Instant, fetched: Fetched) -> Result<()> {
        let rows = fetched.applied.map_err(|failed| super::error_of(super::Death::Failed(failed)))?;
        // One that was begun in an epoch before is not the one that runs.
        if fetched.epoch != self.seat.terms.epoch {
            return Ok(());
        }
        let peers = self.peers_to_ask();
        if rows == 0
            && let Some(peer) = self.fetch.out_of_reach(fetched.peer, fetched.compacted, &peers)
        {
            self.fetch_snapshot(peer);
            return Ok(());
        }
        self.fetch.running = false;
        self.fetch.due = None;
        if rows > 0 {
            self.fetch.on_rows();
            self.fetch.fruitless = 0;
            self.fetch.empty = 0;
            self.fetch.campaign = None;
            // A page: there may be more, so the next one is asked for without waiting.
            if self.seat.replica.applied() < self.seat.sought() {
                self.fetch.due = Some(now);
            }
        } else {
            self.fetch.fruitless += 1;
            self.fetch.empty += usize::from(fetched.answered && !fetched.compacted);
            if self.fetch.empty > self.acquaintances.all().count() {
                // Everyone was asked: if it is true after all, somebody will say so again.
                self.seat.forget_claims();
                self.fetch.empty = 0;
            }
            if self.seat.replica.applied() < self.seat.sought() {
                self.fetch.due = Some(now + PAUSE);
            }
        }
        self.fetch.seen = self.seat.replica.applied();
        if self.leadership.role() == Role::Campaigning {
            self.start_election(now);
        }
        Ok(())
    }

    /// Whether more is applied than the store has taken in, by so much that nothing may be added.
    pub(super) fn is_store_behind(&self) -> bool {
        self.seat.replica.machine().overlay_bytes() >= OVERLAY_BYTES_MAX
    }

    /// Syncs the store in the background: rows first noted as chosen in a durable log (D10).
    pub(super) fn flush(&mut self) {
        let now = Instant::now();
        let rows_wait = self.seat.replica.machine().overlay_bytes() >= FLUSH_BYTES;
        if self.flushing.is_some() || self.is_installing() || !(rows_wait || self.flush_after <= now) {
            return;
        }
        // Not all nodes at the same time: on one disk, their logs would wait together.
        self.flush_after = now + FLUSH_EVERY.mul_f64(0.8 + 0.4 * crate::entropy::fraction());
        let Some(flush) = self.seat.replica.machine().begin_flush() else { return };
        let (log, leaving) = (self.seat.log.clone(), Arc::clone(&self.leaving));
        let reports = self.reports.clone();
        self.flushing = Some(tokio::task::spawn_local(async move {
            let durable = is_durable(&log, &leaving).await;
            let done = if durable { tokio::task::spawn_blocking(move || flush.run()).await.ok() } else { None };
            let _ = reports.send(Report::Flushed).await;
            done
        }));
    }

    /// The flush that is under way ends, whenever that is.
    pub(super) async fn end_flush(&mut self) -> Result<()> {
        let Some(flushing) = self.flushing.take() else { return Ok(()) };
        let Ok(Some(done)) = flushing.await else { return Ok(()) };
        let retired = self.seat.replica.end_flush(done?)?;
        // Freeing the rows takes milliseconds that nobody should wait for.
        tokio::task::spawn_blocking(move || drop(retired));
        self.install_if_ready();
        Ok(())
    }

    /// Through which round the store of every node is durable, as far as this leader heard.
    pub(super) fn count_held(&self) -> Round {
        let others = self.holders().into_iter();
        let others = others.map(|peer| self.progress.get(&peer).map_or(0, |progress| progress.durable)).min();
        others.unwrap_or(Round::MAX).min(self.durable_round())
    }

    /// Counts, beside everything else, what the log holds from before the start.
    pub(super) fn weigh_log(&self) {
        let log = self.seat.log.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = log.weigh() {
                tracing::warn!(%error, "what the consensus log takes is not known");
            }
        });
    }

    /// Drops rows of the log: those that every voter's store holds durably, and of the others the oldest, where they are
    /// more than is kept for members that are behind. Never what this node's own store does not hold (D10), nor what whoever
    /// fetches a snapshot needs next.
    pub(super) fn prune(&mut self) {
        let too_much = self.seat.log.excess(self.log_bytes_max);
        let needed = self.durable_round().min(self.serving.pin().unwrap_or(Round::MAX));
        let wanted = self.held.max(too_much).min(needed);
        // What is worth a write is worth a page or so of rows; a few more rows kept do no harm.
        if wanted < self.pruned + PRUNE_STEP && too_much <= self.pruned {
            return;
        }
        let through = self.seat.log.prune_step(wanted);
        if through > self.pruned && self.seat.log.prune(through).is_ok() {
            self.pruned = through;
        }
    }
}

/// Whether the log has everything that it was given so far. A log that waits for room is waited for, since the rows of a
/// flush can be given back to nobody; its failure ends the node.
async fn is_durable(log: &Log, leaving: &AtomicBool) -> bool {
    while log.barrier().await.is_err() {
        let fails = log.failure().is_some() && !log.is_paused();
        if fails || leaving.load(Ordering::Relaxed) {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    true
}

/// A page of chosen rows of `peer`, from the first missing round on, without a gap.
async fn ask(seat: &Seat, peer: PeerId) -> Option<Page> {
    let from = seat.replica.applied() + 1;
    let payload = seat.envelope(SyncRequest::Rows { from, bytes_max: SYNC_BYTES_MAX }).encode().ok()?;
    let answer = seat.network.request(peer, Channel::Sync, payload, FETCH_TIMEOUT).await.ok()?;
    // Of any epoch: rows are how one gets from one into the next.
    let envelope = Envelope::<SyncAnswer>::decode(&answer).ok()?;
    let envelope = Some(envelope).filter(|envelope| envelope.cluster == seat.terms.cluster)?;
    let (rows, through) = match envelope.body {
        SyncAnswer::Rows { rows, through } => (rows, through),
        SyncAnswer::Compacted { through } => {
            seat.claim(through);
            return Some(Page::Compacted);
        }
        _ => return None,
    };
    seat.claim(through);
    let in_order = (from..).zip(&rows).all(|(round, row)| row.round == round && seat.guard().entry(&row.entry).is_ok());
    in_order.then_some(Page::Rows(rows))
}

async fn apply(seat: &Seat, acceptor: Option<&Acceptor>, rows: Vec<AcceptedRow>) -> Result<usize, ReplicaFailed> {
    let Some(last) = rows.last().map(|row| row.round) else { return Ok(0) };
    let before = seat.replica.applied();
    for row in rows {
        match acceptor {
            Some(acceptor) => acceptor.learn(row).await,
            None => apply_directly(seat, row.round, &row.entry)?,
        }
    }
    let mut follow = seat.replica.follow();
    let _ = tokio::time::timeout(APPLY_TIMEOUT, follow.wait_for(|applied| *applied >= last)).await;
    Ok(usize::try_from(seat.replica.applied() - before).unwrap_or(usize::MAX))
}

/// Without a keeper nothing else applies entries.
fn apply_directly(seat: &Seat, round: Round, entry: &Entry) -> Result<(), ReplicaFailed> {
    if round != seat.replica.applied() + 1 {
        return Ok(());
    }
    seat.replica.apply_next(seat.terms.epoch, round, entry)
}
