//! This node as a member of the cluster: one task that owns the keeper, the leadership and the way of commands.
//!
//! ```text
//! peers ──▶ greeting, votes, beats, forwarded commands, catch-up ─┐
//! handle ─▶ submitter ────────────────────────────────────────────┼─▶ Member ─▶ keeper / proposer / fetch / flush
//! time ───▶ leadership ───────────────────────────────────────────┘
//! ```
//!
//! Must hold: everything that decides runs in this one task; what takes time runs beside it and reports back, with the
//! life of the keeper it belongs to; a campaign starts only when no append of this node is under way (D12); a node that
//! must not vote has no keeper (D9). Run by the node on its own thread.

mod answer;
mod confirm;
mod epoch;
mod expire;
mod fetch;
mod handover;
mod install;
mod integrity;
mod knock;
mod lead;
mod parts;
mod present;
mod receive;
mod report;
mod room;
mod seal;
mod serve;
mod standing;
mod upgrade;
mod weigh;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) use self::epoch::{named_in, peer_of, voters_of};
pub(crate) use self::parts::{Keepsake, Parts};
pub(crate) use self::report::Report;
use self::seal::Progress;
pub(crate) use self::standing::{Control, Standing};
use super::acquaintance::Acquaintances;
use super::addresses::{Addresses, member_id};
use super::entries::Entries;
use super::id::Round;
use super::keeper::{Death, Life};
use super::leadership::{Leadership, Role, Timing};
use super::proposer::Proposer;
use super::reads::{ReadInbox, Reader, Reads};
use super::seat::Seat;
use super::submit::{Submitter, Trouble};
use super::vault::Vault;
use crate::command::Life as VotingLife;
use crate::error::{Error, Result};
use crate::machine::{FlushDone, Roster};
use crate::network::NetworkEvent;
use crate::schema::Summary;

/// Reports of what runs beside the member that may wait for it.
const REPORTS_MAX: usize = 4_096;
/// How often is looked after what no event announces: greetings that failed, commands to send again, rows to flush.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// A leader whose oldest append or log commit is older than this must not look alive (D13).
const STUCK: Duration = Duration::from_secs(2);
/// Pause before a keeper that died is woken again.
const REVIVE: Duration = Duration::from_millis(50);

/// The running member.
pub(crate) struct Member {
    seat: Arc<Seat>,
    submitter: Arc<Submitter>,
    /// Reads that the handle asks for, and those that are under way.
    readers: ReadInbox,
    reads: Reads<Reader>,
    timing: Timing,
    leadership: Leadership,
    proposer: Proposer,
    /// Who takes part, as the log says it, and where they are.
    roster: watch::Receiver<Arc<Roster>>,
    addresses: Addresses,
    /// Voters that are known to have entered this epoch.
    started: HashSet<PeerId>,
    acquaintances: Acquaintances,
    troubles: HashMap<PeerId, Trouble>,
    entries: Arc<Entries>,
    schema: Summary,
    keepsake: Box<dyn Keepsake>,
    store_is_durable: bool,
    kept: Round,
    vault: Arc<dyn Vault>,
    log_bytes_max: u64,
    serving: serve::Serving,
    /// Whether a snapshot is being fetched, and how far its installation is.
    receiving: bool,
    installing: install::Installing,
    /// The snapshot from which this node goes on, until the rows behind it are here.
    caught_up_by: Option<receive::Received>,
    /// Through which round every voter's store is durable, as the leader counts it.
    held: Round,
    /// In which life this node is, and whether it may vote in it in this epoch.
    own: VotingLife,
    /// Whether it was let in, and has not got to where the log says so.
    let_in: bool,
    votes: bool,
    presence: present::Presence,
    upgrading: upgrade::Upgrading,
    expiring: expire::Expiring,
    life: Option<Life>,
    /// Counts the lives of the keeper, so that reports of an earlier one are not taken for this one's.
    lives: u64,
    electing: bool,
    /// Not before this time does the first of an epoch campaign again, whom the others did not hear yet.
    campaign_after: Option<Instant>,
    forwarding: lead::Forwarding,
    /// When this node was to look at the world again, at the latest.
    awaited: Instant,
    next_house: Instant,
    /// Not before this time are commands forwarded again, after the leader did not take some.
    forward_after: Option<Instant>,
    pruned: Round,
    fetch: fetch::Fetch,
    /// The flush of the store that is under way.
    flushing: Option<JoinHandle<Option<Result<FlushDone>>>>,
    flush_after: Instant,
    /// Set when this node stops, for what would wait for room.
    leaving: Arc<AtomicBool>,
    /// How far each node is, as it last said.
    progress: HashMap<PeerId, Progress>,
    /// Whether the log takes anything.
    room: room::Room,
    /// Whether what is here is what the others hold.
    integrity: integrity::Integrity,
    /// Set once this node is on its way out.
    handover: Option<handover::Handover>,
    /// Who is connected, with what each last said about how far it has applied.
    peers: Arc<BTreeMap<PeerId, Option<Round>>>,
    reports: mpsc::Sender<Report>,
    standing: watch::Sender<Standing>,
}

impl Member {
    /// Makes the member and the channel on which it tells about itself.
    pub(crate) fn new(parts: Parts) -> (Self, mpsc::Receiver<Report>, watch::Receiver<Standing>) {
        let Parts {
            seat,
            submitter,
            readers,
            timing,
            addresses,
            ids,
            schema,
            own,
            let_in,
            store_is_durable,
            kept,
            vault,
            log_bytes_max,
            rebuilding,
            keepsake,
        } = parts;
        let votes = seat.replica.roster().votes(&member_id(&seat.terms.me), own);
        let epoch = seat.terms.epoch;
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        let applied = seat.replica.applied();
        let voters = seat.terms.voters.clone();
        let (standing, watching) =
            watch::channel(Standing { votes, applied, voters, epoch, rebuilding, ..Standing::default() });
        let mut roster = seat.replica.follow_roster();
        roster.mark_changed();
        let leadership =
            Leadership::new(timing, seat.terms.me, seat.terms.voters.clone(), Instant::now(), crate::entropy::fraction);
        let member = Member {
            seat,
            submitter,
            readers,
            reads: Reads::default(),
            timing,
            leadership,
            proposer: Proposer::default(),
            roster,
            addresses,
            started: HashSet::new(),
            acquaintances: Acquaintances::default(),
            troubles: HashMap::new(),
            entries: Arc::new(Entries::new(ids)),
            schema,
            keepsake,
            store_is_durable,
            kept,
            vault,
            log_bytes_max,
            serving: serve::Serving::default(),
            receiving: false,
            installing: install::Installing::default(),
            caught_up_by: None,
            held: 0,
            own,
            let_in,
            votes,
            presence: present::Presence::default(),
            upgrading: upgrade::Upgrading::default(),
            expiring: expire::Expiring::default(),
            life: None,
            lives: 0,
            electing: false,
            campaign_after: None,
            forwarding: lead::Forwarding::default(),
            awaited: Instant::now(),
            next_house: Instant::now(),
            forward_after: None,
            pruned: 0,
            fetch: fetch::Fetch::default(),
            flushing: None,
            flush_after: Instant::now(),
            leaving: Arc::default(),
            progress: HashMap::new(),
            room: room::Room::default(),
            integrity: integrity::Integrity::new(rebuilding),
            handover: None,
            peers: Arc::default(),
            reports,
            standing,
        };
        (member, inbox, watching)
    }

    /// Runs until the node is shut down or cannot go on.
    ///
    /// # Errors
    /// [`Error::Storage`] when the log or the store failed; [`Error::Removed`] when this node left the cluster;
    /// [`Error::Quarantined`] when a majority of the voters holds other records.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Report>,
        mut events: mpsc::Receiver<NetworkEvent>,
        mut control: mpsc::Receiver<Control>,
    ) -> Result<()> {
        let submitter = Arc::clone(&self.submitter);
        let mut applied = self.seat.replica.follow();
        self.weigh_log();
        self.vault.wait_for_room(true);
        self.revive().await?;
        self.awaited = Instant::now();
        loop {
            self.notice_stall();
            if Instant::now() >= self.next_house {
                // Here and not below, where whatever is always ready would come before it.
                self.keep_house()?;
                self.next_house = Instant::now() + HOUSEKEEPING;
            }
            self.follow_roster().await?;
            self.mind_room().await?;
            self.wake_after_install().await?;
            self.act();
            self.pump();
            self.publish();
            if self.has_left(Instant::now()) {
                // Whoever asked hears of the end when this is dropped.
                let handover = self.handover.take();
                let result = self.stop().await;
                drop(handover);
                return result;
            }
            let seat = Arc::clone(&self.seat);
            self.awaited = self.due().map_or(self.next_house, |due| due.min(self.next_house));
            let awaited = self.awaited;
            let ended = async {
                match &mut self.life {
                    Some(life) => life.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                asked = control.recv(), if self.handover.is_none() => match asked {
                    Some(Control::Weigh { leaving, answer }) => self.weigh(leaving, answer),
                    asked => self.leave(asked),
                },
                death = ended => self.on_death(death).await?,
                overreach = seat.stopped() => {
                    tracing::warn!(%overreach, "the keeper is woken again from its log");
                    self.on_death(Death::Panicked).await?;
                }
                Some(report) = inbox.recv() => match report {
                    Report::Flushed => self.end_flush().await?,
                    report => self.on_report(report)?,
                },
                Some(event) = events.recv() => self.on_event(event)?,
                () = self.readers.woken(), if self.reads.room() > 0 => {}
                _ = applied.changed() => self.fetch.on_progress(seat.replica.applied(), seat.sought(), Instant::now()),
                () = submitter.woken() => {}
                () = tokio::time::sleep_until(awaited.into()) => {}
            }
        }
    }

    /// Wakes the keeper, if this node may vote, and holds what it is to rest on.
    async fn revive(&mut self) -> Result<()> {
        if !self.votes || self.integrity.is_rebuilding() {
            return Ok(());
        }
        match Life::begin(&self.seat).await {
            Ok(life) => {
                self.life = Some(life);
                Ok(())
            }
            // It is woken when there is room.
            Err(_) if self.seat.log.is_paused() => Ok(()),
            Err(death) => Err(error_of(death)),
        }
    }

    /// No keeper any more: what it had under way is nobody's, and what is still reported of it is of an earlier life.
    fn end_life(&mut self) {
        self.life = None;
        self.lives += 1;
        self.electing = false;
        self.proposer.reset();
    }

    /// The keeper ended: it is woken again from the log, unless the node cannot go on.
    async fn on_death(&mut self, death: Death) -> Result<()> {
        self.end_life();
        if let Role::Leading { .. } | Role::Campaigning | Role::Asking = self.leadership.role() {
            self.leadership.on_lost(Instant::now());
        }
        if let Death::Failed(failed) = death {
            self.distrust_log();
            return Err(error_of(Death::Failed(failed)));
        }
        self.seat.open_gate();
        self.standing.send_modify(|standing| standing.revived += 1);
        tokio::time::sleep(REVIVE).await;
        self.revive().await
    }

    /// This node must never vote again in this epoch (D9): from now on it is another one, which votes in an epoch that names
    /// it.
    fn renounce(&mut self, reason: &str) -> Result<()> {
        tracing::error!(reason, "this node does not vote any more in this epoch; it follows");
        self.seat.mute();
        self.end_life();
        self.votes = false;
        self.leadership.on_lost(Instant::now());
        self.own.lapses += 1;
        self.keepsake.lapse(self.own, reason)
    }

    /// After a failed sync the log may show rows that are not on the disk, and no later sync would tell: a vote that
    /// rests on them could be forgotten, so there are no more votes (D13). Alone, there is nobody to follow; and a disk
    /// that was only full has lost nothing.
    fn distrust_log(&mut self) {
        let failed = self.seat.log.failure().is_some() && !self.seat.log.is_full();
        if !failed || !self.votes || self.seat.terms.voters.len() == 1 {
            return;
        }
        if let Err(error) = self.renounce("its consensus log could not be synced") {
            tracing::error!(%error, "it cannot be recorded that this node must not vote: remove its `log.redb`");
        }
    }

    fn keep_house(&mut self) -> Result<()> {
        if let Some(failure) = self.seat.log.failure().filter(|_| !self.seat.log.is_paused()) {
            self.distrust_log();
            return Err(copy(&failure));
        }
        // A commit of a later round says as well as a beat that rounds are missing.
        self.fetch.on_progress(self.seat.replica.applied(), self.seat.sought(), Instant::now());
        self.greet_again();
        self.judge()?;
        if self.integrity.is_rebuilding() {
            self.start_fetch(Instant::now());
        }
        self.end_reads(Instant::now());
        if self.is_released() {
            self.keepsake.depart()?;
            return Err(Error::Removed);
        }
        self.present();
        self.upgrade();
        self.expire()?;
        self.seal_if_due(Instant::now());
        self.flush();
        self.end_serving(Instant::now());
        self.release_if_caught_up();
        self.prune();
        Ok(())
    }

    fn publish(&self) {
        let now = Instant::now();
        let leads = matches!(self.leadership.role(), Role::Leading { .. });
        let (leader, applied) = (self.leadership.leader(now), self.seat.replica.applied());
        let durable = self.durable_round();
        self.standing.send_if_modified(|standing| {
            let news = Standing {
                leads,
                votes: self.votes && !self.integrity.is_rebuilding(),
                leader,
                applied,
                durable,
                known: self.seat.sought(),
                epoch: self.seat.terms.epoch,
                fetches_snapshot: self.awaits_snapshot(),
                settled: self.is_settled(),
                full: self.room.is_full(),
                differs: self.integrity.differs(),
                rebuilding: self.integrity.is_rebuilding(),
                voters: self.seat.terms.voters.clone(),
                peers: Arc::clone(&self.peers),
                revived: standing.revived,
            };
            let changed = *standing != news;
            *standing = news;
            changed
        });
    }

    /// The round through which this node needs nothing of its log after a restart.
    fn durable_round(&self) -> Round {
        if self.store_is_durable { self.seat.replica.machine().durable_round() } else { self.kept }
    }

    /// When something is due that no event announces.
    fn due(&self) -> Option<Instant> {
        let leadership = if self.takes_part() { self.leadership.next() } else { None };
        let handover = self.handover.as_ref().map(|handover| handover.deadline);
        let campaign = self.campaign_after.filter(|_| self.leadership.role() == Role::Campaigning);
        [
            leadership,
            handover,
            campaign,
            self.proposer.retry_at(),
            self.fetch.due(),
            self.forward_after,
            self.reads.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Makes everything durable that is chosen.
    async fn stop(mut self) -> Result<()> {
        self.submitter.close(|| Error::ShutDown);
        self.end_life();
        // One that is under way holds the store's file; what it cannot write is in the log.
        self.leaving.store(true, Ordering::Relaxed);
        self.vault.wait_for_room(false);
        self.end_flush().await?;
        if self.end_install().await {
            return Ok(());
        }
        let flush = self.seat.replica.machine().begin_flush();
        if self.seat.log.barrier().await.is_err() {
            return Err(self.seat.log.failure().map_or(Error::ShutDown, |failure| copy(&failure)));
        }
        if let Some(flush) = flush {
            let done = tokio::task::spawn_blocking(move || flush.run()).await.map_err(|_| Error::ShutDown)??;
            drop(self.seat.replica.machine().end_flush(done)?);
        }
        Ok(())
    }
}

fn error_of(death: Death) -> Error {
    match death {
        Death::Failed(failed) => copy(&failed.0),
        Death::Panicked => Error::Storage {
            reason: "the consensus log cannot be read back: restore this node's directory, or remove it and let the node follow the others".into(),
            source: None,
        },
    }
}

/// The same error for another listener; its source stays with the first.
fn copy(error: &Arc<Error>) -> Error {
    match &**error {
        Error::Storage { reason, source } => Error::Storage {
            reason: match source {
                Some(source) => format!("{reason} ({source})"),
                None => reason.clone(),
            },
            source: None,
        },
        Error::ShutDown => Error::ShutDown,
        Error::SchemaMismatch { ours, theirs } => Error::SchemaMismatch { ours: ours.clone(), theirs: theirs.clone() },
        other => Error::Storage { reason: other.to_string(), source: None },
    }
}
