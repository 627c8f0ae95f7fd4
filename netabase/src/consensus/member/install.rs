//! Going on from a snapshot (D8): the keeper is stopped, the state replaced, the keeper woken from the log.
//!
//! ```text
//! built ─▶ no flush is out ─▶ keeper gone ─▶ marker ─▶ new store in place ─▶ log: rows <= S gone ─▶ marker gone ─▶ revive
//! ```
//! Must hold: nothing applies entries and nothing is flushed from the moment the keeper is gone until the new state is in
//! place; what was promised, and accepted above the snapshot's round, is as it was: it is in the log, which only loses rows
//! at or below that round; a crash at any step is completed at the next start, or never was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::receive::{self, NotReceived, Received};
use super::report::Report;
use super::{Member, copy};
use crate::consensus::id::Epoch;
use crate::consensus::log::Mirror;
use crate::consensus::seat::Seat;
use crate::consensus::vault::{Installation, Vault};
use crate::error::{Error, Result};
use crate::machine::Machine;

/// Pause after no peer had a snapshot, or this node's disk took none.
const PAUSE: Duration = Duration::from_secs(1);

/// How far this node is with a snapshot.
#[derive(Debug, Default)]
pub(super) enum Installing {
    #[default]
    No,
    /// It is built, and waits for the flush that is out.
    Built(Received),
    /// The state is being replaced: there is no keeper, and no flush begins.
    Running(JoinHandle<()>),
    /// It is replaced, and the keeper is to be woken.
    Done,
}

impl Member {
    /// The rows that this node needs are gone at `peer`, so they are fetched as a snapshot. The fetch that found out goes
    /// on until that is over.
    pub(super) fn fetch_snapshot(&mut self, peer: libp2p::PeerId) {
        let mut peers = vec![peer];
        peers.extend(self.peers_to_ask().into_iter().filter(|other| *other != peer));
        let (seat, vault, reports) = (Arc::clone(&self.seat), Arc::clone(&self.vault), self.reports.clone());
        // What is here is not to be kept: the same round is as good as a later one.
        let above = seat.replica.applied().saturating_sub(u64::from(self.integrity.is_rebuilding()));
        self.receiving = true;
        tokio::task::spawn_local(async move {
            let received = receive::receive(&seat, &vault, &peers, above).await;
            let _ = reports.send(Report::Received(received)).await;
        });
    }

    pub(super) fn on_received(&mut self, now: Instant, received: Result<Received, NotReceived>) {
        self.receiving = false;
        match received {
            Ok(received) => {
                self.installing = Installing::Built(received);
                self.install_if_ready();
            }
            Err(reason) => {
                tracing::warn!(%reason, "this node stays behind for now");
                self.fetch.end(now + PAUSE);
            }
        }
    }

    /// Whether the store must be left alone.
    pub(super) fn is_installing(&self) -> bool {
        !matches!(self.installing, Installing::No)
    }

    /// Whether this node gets what it misses as a snapshot.
    pub(super) fn awaits_snapshot(&self) -> bool {
        self.receiving || self.is_installing()
    }

    pub(super) fn install_if_ready(&mut self) {
        let Installing::Built(received) = self.installing else { return };
        if self.flushing.is_some() {
            return;
        }
        let applied = self.seat.replica.applied();
        if received.id.round < applied || (received.id.round == applied && !self.integrity.is_rebuilding()) {
            // The rows came by another way meanwhile.
            self.installing = Installing::No;
            return self.fetch.end(Instant::now());
        }
        self.caught_up_by = Some(received);
        // D8: with the keeper go all appends and votes of its life; what it said is in the log.
        self.end_life();
        self.leadership.on_lost(Instant::now());
        tracing::info!(round = received.id.round, "a snapshot takes the place of the state");
        let (seat, vault, reports) = (Arc::clone(&self.seat), Arc::clone(&self.vault), self.reports.clone());
        self.installing = Installing::Running(tokio::task::spawn_local(async move {
            let installed = install(&seat, vault, received).await;
            let _ = reports.send(Report::Installed(installed.map(Box::new))).await;
        }));
    }

    /// What is begun is completed before the node stops: it holds the files, and a flush would go to the store of before.
    pub(super) async fn end_install(&mut self) -> bool {
        let running = std::mem::take(&mut self.installing);
        if let Installing::Running(running) = running {
            let _ = running.await;
            return true;
        }
        matches!(running, Installing::Done)
    }

    /// The state is replaced, here and in the log.
    pub(super) fn on_installed(&mut self, now: Instant, installed: Result<Box<Machine>>) -> Result<()> {
        let machine = *installed?;
        self.kept = machine.applied();
        self.seat.replica.succeed(machine);
        self.installing = Installing::Done;
        self.fetch.end(now);
        self.end_rebuilding()
    }

    /// Once the rows behind the snapshot are here, too, the peer need not keep its log any more.
    pub(super) fn release_if_caught_up(&mut self) {
        if self.is_installing() || self.seat.replica.applied() < self.seat.sought() {
            return;
        }
        if let Some(received) = self.caught_up_by.take() {
            let seat = Arc::clone(&self.seat);
            tokio::task::spawn_local(async move { receive::release(&seat, received).await });
        }
    }

    /// Wakes the keeper as after a restart (D7), unless that was done because the snapshot is of a later epoch.
    pub(super) async fn wake_after_install(&mut self) -> Result<()> {
        if !matches!(self.installing, Installing::Done) {
            return Ok(());
        }
        self.installing = Installing::No;
        self.seat.open_gate();
        if self.life.is_none() {
            self.revive().await?;
        }
        // Outcomes of the rounds that were left out are in the sessions: whoever asks again hears them.
        self.submitter.send_all_again();
        Ok(())
    }
}

async fn install(seat: &Seat, vault: Arc<dyn Vault>, received: Received) -> Result<Machine> {
    let failed = || seat.log.failure().map_or(Error::ShutDown, |failure| copy(&failure));
    // What the last life still had on its way to the log is part of what the marker says the log holds.
    seat.log.barrier().await.map_err(|_| failed())?;
    let round = received.id.round;
    let (chosen, ballot) = seat.log.durable(|log| (Mirror::chosen(log), Mirror::ballot(log)));
    let installing = Arc::clone(&vault);
    let installation = Installation { round, epoch: seat.terms.epoch, chosen, ballot };
    let machine =
        tokio::task::spawn_blocking(move || installing.install(installation)).await.map_err(|_| Error::ShutDown)??;
    seat.log.install(Epoch(machine.roster().epoch), round).await.map_err(|_| failed())?;
    tokio::task::spawn_blocking(move || vault.finish()).await.map_err(|_| Error::ShutDown)??;
    Ok(machine)
}
