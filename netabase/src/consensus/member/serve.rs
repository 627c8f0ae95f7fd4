//! Snapshots for peers that are too far behind for the log: one file at a time, shared by all who fetch it.
//!
//! ```text
//! Snapshot ─▶ none yet: copy the durable state (beside) ─▶ Preparing … ─▶ its id      Chunk ─▶ read (beside) ─▶ piece
//! ```
//! Must hold: rows behind the file's round are kept for as long as somebody needs it, in time and bytes bounded; a piece is
//! sent only if it is what was written; the state is copied and pieces are read beside the member, a few at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::Member;
use super::answer::answer_with;
use super::report::Report;
use crate::consensus::background;
use crate::consensus::id::Round;
use crate::consensus::message::SyncAnswer;
use crate::consensus::vault::{CHUNK_BYTES, Export};
use crate::error::{Error, Result};
use crate::machine::SnapshotId;
use crate::network::Reply;

/// Whoever fetches or installs a snapshot shows up more often than this, and who only needs the rows behind it than that.
const IDLE: Duration = Duration::from_secs(60);
const IDLE_INSTALLED: Duration = Duration::from_secs(5);
/// However slow it is fetched, the log is kept for it no longer, and not in more bytes than this.
const PIN_TIME_MAX: Duration = Duration::from_secs(2 * 60 * 60);
const PIN_BYTES_MAX: u64 = 1 << 30;
/// Pieces that are read and not yet on their way; who asks for more asks again.
const READS_MAX: usize = 8;
/// After a copy failed, as on a full disk, the next one waits.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

/// What is served.
#[derive(Debug, Default)]
pub(super) struct Serving {
    copy: Option<Copy>,
    /// The round of the one that is being made: its log is kept from the moment on at which the state was taken.
    making: Option<Round>,
    /// Whether one is being removed.
    removing: bool,
    reads: usize,
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Copy {
    export: Export,
    made: Instant,
    /// Who needs it, and when each was last heard. Before anybody has come back for it: whoever asked for it to be made.
    users: HashMap<PeerId, User>,
}

/// A peer that needs the copy, or its log.
#[derive(Clone, Copy, Debug)]
struct User {
    heard: Instant,
    /// Whether it has got as far as the copy.
    installed: bool,
}

impl User {
    fn new(heard: Instant) -> Self {
        User { heard, installed: false }
    }

    fn is_idle(self, now: Instant) -> bool {
        now >= self.heard + if self.installed { IDLE_INSTALLED } else { IDLE }
    }
}

impl Serving {
    /// The round from which on the log must stay.
    pub(super) fn pin(&self) -> Option<Round> {
        self.making.or(self.copy.as_ref().map(|copy| copy.export.id.round))
    }

    /// A peer asks for something that catches it up.
    pub(super) fn keep_for(&mut self, peer: PeerId, now: Instant) {
        if let Some(user) = self.copy.as_mut().and_then(|copy| copy.users.get_mut(&peer)) {
            user.heard = now;
        }
    }

    /// A peer is known to be so far.
    pub(super) fn on_applied(&mut self, peer: PeerId, applied: Round) {
        let Some(copy) = &mut self.copy else { return };
        let round = copy.export.id.round;
        if let Some(user) = copy.users.get_mut(&peer) {
            user.installed |= applied >= round;
        }
    }

    /// A peer needs it no longer.
    pub(super) fn release(&mut self, peer: PeerId, id: SnapshotId) {
        if let Some(copy) = self.copy.as_mut().filter(|copy| copy.export.id == id) {
            copy.users.remove(&peer);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // What runs long for peers, or for catching up, holds the files open.
        self.vault.close();
    }
}

impl Member {
    /// A peer asks for a snapshot.
    pub(super) fn on_snapshot_wanted(&mut self, peer: PeerId, above: Round, reply: Reply) {
        let now = Instant::now();
        let answer = match &mut self.serving.copy {
            Some(copy) if copy.export.id.round > above => {
                copy.users.insert(peer, User::new(now));
                SyncAnswer::Snapshot(copy.export.id)
            }
            // A later one is made once nobody needs the one that is there; this peer does not.
            Some(copy) => {
                copy.users.remove(&peer);
                SyncAnswer::Preparing
            }
            None if self.serving.making.is_some() || self.serving.removing => SyncAnswer::Preparing,
            None if self.serving.failed.is_some_and(|failed| now < failed + FAILED_PAUSE) => SyncAnswer::NoSnapshot,
            None => self.export(peer, above),
        };
        answer_with(&self.seat, reply, answer);
    }

    fn export(&mut self, peer: PeerId, above: Round) -> SyncAnswer {
        let state = self.seat.replica.machine().durable_state();
        if state.round() <= above {
            return SyncAnswer::NoSnapshot;
        }
        self.serving.making = Some(state.round());
        tracing::info!(round = state.round(), "a peer is far behind: the state is copied for it");
        let (vault, reports) = (Arc::clone(&self.vault), self.reports.clone());
        tokio::task::spawn_local(async move {
            // It fails as a task only if it panicked.
            let export = tokio::task::spawn_blocking(move || background::run(|| vault.export(&state))).await;
            let export = export.unwrap_or(Err(Error::ShutDown)).and_then(|export| export);
            let _ = reports.send(Report::Exported { peer, export }).await;
        });
        SyncAnswer::Preparing
    }

    pub(super) fn on_exported(&mut self, now: Instant, peer: PeerId, export: Result<Export>) {
        self.serving.making = None;
        match export {
            Ok(export) => {
                self.serving.failed = None;
                self.serving.copy = Some(Copy { export, made: now, users: HashMap::from([(peer, User::new(now))]) });
            }
            Err(error) => {
                tracing::warn!(%error, "the state cannot be copied for a peer");
                self.serving.failed = Some(now);
            }
        }
    }

    /// A peer asks for a piece.
    pub(super) fn on_chunk_wanted(&mut self, id: SnapshotId, offset: u64, reply: Reply) {
        let found = self.serving.copy.as_ref().filter(|copy| copy.export.id == id);
        let Some(copy) = found else { return answer_with(&self.seat, reply, SyncAnswer::NoSnapshot) };
        let index = usize::try_from(offset / CHUNK_BYTES as u64).unwrap_or(usize::MAX);
        let Some(hash) = copy.export.chunks.get(index).copied().filter(|_| offset.is_multiple_of(CHUNK_BYTES as u64))
        else {
            return answer_with(&self.seat, reply, SyncAnswer::NoSnapshot);
        };
        if self.serving.reads >= READS_MAX {
            return reply.refuse("too many pieces at once");
        }
        self.serving.reads += 1;
        let length = usize::try_from(id.bytes - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let (file, seat, reports) = (Arc::clone(&copy.export.file), Arc::clone(&self.seat), self.reports.clone());
        tokio::task::spawn_local(async move {
            let encoded = tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; length];
                file.read(offset, &mut bytes).map_err(|error| error.to_string())?;
                if *blake3::hash(&bytes).as_bytes() != hash {
                    return Err("a piece of the snapshot is not as it was written: check the disk".to_owned());
                }
                let answer = seat.envelope(SyncAnswer::Chunk { bytes: bytes.into(), hash });
                answer.encode().map_err(|error| error.to_string())
            });
            let bad = match encoded.await {
                Ok(Ok(bytes)) => {
                    reply.send(bytes);
                    None
                }
                Ok(Err(error)) => {
                    tracing::error!(error, "a snapshot cannot be served");
                    reply.refuse("it cannot be read");
                    Some(id)
                }
                Err(_) => Some(id),
            };
            let _ = reports.send(Report::ChunkRead { bad }).await;
        });
    }

    /// A piece was read, or could not be: then the whole copy is made anew for whoever asks.
    pub(super) fn on_chunk_read(&mut self, bad: Option<SnapshotId>) {
        self.serving.reads = self.serving.reads.saturating_sub(1);
        if bad.is_some() && self.serving.copy.as_ref().map(|copy| copy.export.id) == bad {
            self.withdraw();
        }
    }

    /// Removes the copy when nobody has needed it for a while, or it has been needed for too long.
    pub(super) fn end_serving(&mut self, now: Instant) {
        let Some(copy) = &mut self.serving.copy else { return };
        // Who came by another way does not say so, but then everybody's store is known to be that far.
        let held = self.held >= copy.export.id.round;
        copy.users.values_mut().for_each(|user| user.installed |= held);
        copy.users.retain(|_, user| !user.is_idle(now));
        let too_much = self.seat.log.bytes_above(copy.export.id.round) > PIN_BYTES_MAX;
        if copy.users.is_empty() || now > copy.made + PIN_TIME_MAX || too_much {
            tracing::info!(round = copy.export.id.round, too_much, "the copy of the state for peers is removed");
            self.withdraw();
        }
    }

    fn withdraw(&mut self) {
        self.serving.copy = None;
        self.serving.removing = true;
        let (vault, reports) = (Arc::clone(&self.vault), self.reports.clone());
        tokio::task::spawn_local(async move {
            let _ = tokio::task::spawn_blocking(move || vault.withdraw()).await;
            let _ = reports.send(Report::Withdrawn).await;
        });
    }

    pub(super) fn on_withdrawn(&mut self) {
        self.serving.removing = false;
    }
}
