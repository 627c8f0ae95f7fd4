//! Fetching a snapshot: from peer to peer until one is whole, checked and built into a store beside the one in use.
//!
//! ```text
//! ask ─▶ Preparing … ─▶ id ─▶ pieces, a few at a time ─▶ part file (synced now and then) ─▶ build ─▶ Report::Received
//! ```
//! Must hold: memory is bounded by the pieces under way; what was received outlives a broken connection and a restart, as
//! long as a peer has the same snapshot; the node's own store and its keeper go on as they are until it is built. One at a
//! time: it is a fetch (`fetch`), which runs until it is over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use libp2p::PeerId;

use crate::consensus::background;
use crate::consensus::id::Round;
use crate::consensus::message::{Envelope, SyncAnswer, SyncRequest};
use crate::consensus::seat::Seat;
use crate::consensus::vault::{CHUNK_BYTES, Incoming, Unusable, Vault, is_piece};
use crate::error::Error;
use crate::machine::SnapshotId;
use crate::network::Channel;

/// Pieces under way.
const WINDOW: usize = 4;
/// How long an answer may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Between questions to a peer that is making its copy.
const PREPARING_PAUSE: Duration = Duration::from_millis(100);
/// How long a peer may take to make it.
const PREPARING_MAX: Duration = Duration::from_secs(30 * 60);
/// A peer that does not answer is asked so often, with a pause: connections break and come back.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(200);
/// While the store is built, the peer hears this often that its log is still needed.
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// A snapshot that is built into a store beside the one in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) id: SnapshotId,
    /// Who keeps its log for this node.
    pub(super) from: PeerId,
}

/// Why there is none for now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReceived {
    #[error("no peer has one")]
    Nobody,
    #[error("this node's disk does not take it: {0}")]
    Disk(Error),
}

/// How fetching from one peer ended.
enum Ended {
    /// It has none, is gone, or gave what cannot be used.
    Peer(String),
    Disk(Error),
    /// The snapshot that the peer has is of a round that comes too early; why.
    Early(String),
}

/// Fetches and builds a snapshot of a round above this one, from the first of these peers that has it.
pub(super) async fn receive(
    seat: &Seat,
    vault: &Arc<dyn Vault>,
    peers: &[PeerId],
    above: Round,
) -> Result<Received, NotReceived> {
    for &peer in peers {
        match (Source { seat, vault, peer, above }).fetch().await {
            Ok(received) => return Ok(received),
            Err(Ended::Disk(error)) => return Err(NotReceived::Disk(error)),
            Err(Ended::Peer(reason) | Ended::Early(reason)) => {
                tracing::info!(%peer, reason, "no snapshot from this peer");
            }
        }
    }
    Err(NotReceived::Nobody)
}

/// Tells a peer that its snapshot is needed no longer. It finds out by itself, but later.
pub(super) async fn release(seat: &Seat, received: Received) {
    if let Ok(payload) = seat.envelope(SyncRequest::Release { id: received.id }).encode() {
        let _ = seat.network.request(received.from, Channel::Sync, payload, ASK_TIMEOUT).await;
    }
}

/// A peer to fetch from.
struct Source<'a> {
    seat: &'a Seat,
    vault: &'a Arc<dyn Vault>,
    peer: PeerId,
    above: Round,
}

impl Source<'_> {
    async fn fetch(&mut self) -> Result<Received, Ended> {
        let mut tries = 0;
        loop {
            let id = self.offered().await?;
            let vault = Arc::clone(self.vault);
            let incoming = blocking(move || vault.receive(id)).await?.map_err(Ended::Disk)?;
            tracing::info!(peer = %self.peer, round = id.round, bytes = id.bytes, here = incoming.received(), "a snapshot is fetched");
            let before = incoming.received();
            match self.pieces(id, incoming).await {
                Ok(()) => match self.build(id).await {
                    Err(Ended::Early(reason)) => {
                        tracing::info!(peer = %self.peer, round = id.round, reason, "a later snapshot is waited for");
                        self.above = id.round;
                    }
                    built => return built,
                },
                // Whatever it was, the same peer may go on with the same file.
                Err((Ended::Peer(reason), here)) => {
                    tries = if here > before { 1 } else { tries + 1 };
                    if tries > TRIES {
                        return Err(Ended::Peer(reason));
                    }
                    tracing::debug!(peer = %self.peer, reason, here, "a snapshot is fetched on");
                    tokio::time::sleep(TRY_PAUSE * tries).await;
                }
                Err((ended, _)) => return Err(ended),
            }
        }
    }

    /// The snapshot that the peer has, once it has one.
    async fn offered(&self) -> Result<SnapshotId, Ended> {
        let deadline = Instant::now() + PREPARING_MAX;
        let mut tries = 0;
        while Instant::now() < deadline {
            match self.ask(SyncRequest::Snapshot { above: self.above }).await {
                Ok(SyncAnswer::Snapshot(id)) if id.round > self.above => return Ok(id),
                Ok(SyncAnswer::Preparing) => tokio::time::sleep(PREPARING_PAUSE).await,
                Ok(_) => return Err(Ended::Peer("it has none of a later round".into())),
                Err(reason) => {
                    tries += 1;
                    if tries > TRIES {
                        return Err(Ended::Peer(reason));
                    }
                    tokio::time::sleep(TRY_PAUSE * tries).await;
                }
            }
        }
        Err(Ended::Peer("it does not get one ready".into()))
    }

    /// Fetches what is missing, in order. An error comes with how much is here.
    async fn pieces(&self, id: SnapshotId, mut incoming: Box<dyn Incoming>) -> Result<(), (Ended, u64)> {
        let mut next = incoming.received();
        let mut under_way: VecDeque<BoxFuture<'_, Result<SyncAnswer, String>>> = VecDeque::new();
        while incoming.received() < id.bytes {
            while under_way.len() < WINDOW && next < id.bytes {
                // The request leaves when it is made, so these travel together.
                under_way.push_back(self.request(SyncRequest::Chunk { id, offset: next }));
                next += CHUNK_BYTES as u64;
            }
            let here = incoming.received();
            let Some(answer) = under_way.pop_front() else { break };
            let (bytes, hash) = match answer.await {
                Ok(SyncAnswer::Chunk { bytes, hash }) => (bytes, hash),
                Ok(_) => return Err((Ended::Peer("it no longer has it".into()), here)),
                Err(reason) => return Err((Ended::Peer(reason), here)),
            };
            let taken = blocking(move || {
                if !is_piece(id, here, &bytes, &hash) {
                    return Err(Ended::Peer("a piece is not what it says".into()));
                }
                incoming.append(&bytes).map_err(Ended::Disk)?;
                Ok(incoming)
            });
            incoming = taken.await.and_then(|taken| taken).map_err(|ended| (ended, here))?;
        }
        Ok(())
    }

    async fn build(&self, id: SnapshotId) -> Result<Received, Ended> {
        let vault = Arc::clone(self.vault);
        let mut building = std::pin::pin!(blocking(move || background::run(|| vault.build(id))));
        let built = loop {
            tokio::select! {
                built = &mut building => break built?,
                () = tokio::time::sleep(KEEP_EVERY) => drop(self.ask(SyncRequest::Snapshot { above: self.above }).await),
            }
        };
        match built.map_err(Ended::Disk)? {
            Ok(()) => Ok(Received { id, from: self.peer }),
            Err(Unusable::Disk(error)) => Err(Ended::Disk(error)),
            Err(Unusable::Bad(reason)) => {
                tracing::error!(peer = %self.peer, round = id.round, reason, "a snapshot is thrown away");
                self.discard().await?;
                Err(Ended::Peer(reason))
            }
            Err(Unusable::Early(reason)) => {
                self.discard().await?;
                Err(Ended::Early(reason))
            }
        }
    }

    async fn discard(&self) -> Result<(), Ended> {
        let vault = Arc::clone(self.vault);
        blocking(move || vault.discard()).await?.map_err(Ended::Disk)
    }

    async fn ask(&self, request: SyncRequest) -> Result<SyncAnswer, String> {
        self.request(request).await
    }

    fn request(&self, request: SyncRequest) -> BoxFuture<'static, Result<SyncAnswer, String>> {
        let payload = match self.seat.envelope(request).encode() {
            Ok(payload) => payload,
            Err(error) => return Box::pin(std::future::ready(Err(error.to_string()))),
        };
        let cluster = self.seat.terms.cluster;
        let answer = self.seat.network.request(self.peer, Channel::Sync, payload, ASK_TIMEOUT);
        Box::pin(async move {
            let answer = answer.await.map_err(|error| error.to_string())?;
            let decoded = blocking(move || Envelope::<SyncAnswer>::decode(&answer)).await;
            match decoded {
                Ok(Ok(envelope)) if envelope.cluster == cluster => Ok(envelope.body),
                _ => Err("its answer cannot be read".into()),
            }
        })
    }
}

/// Runs beside the node's thread what takes long.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T, Ended> {
    // It fails only if the call panicked, or the node is stopping.
    tokio::task::spawn_blocking(call).await.map_err(|_| Ended::Disk(Error::ShutDown))
}
