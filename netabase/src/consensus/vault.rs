//! What catch-up by snapshot asks of this node's files. The node fills it in; the calls take long, so none is made on the
//! member's own thread.
//!
//! ```text
//! export ─▶ file, served in pieces            receive ─▶ part file ─▶ build: a store beside ─▶ install ─▶ finish
//! ```
//! Must hold: until `install` the node's own store is as it was, and a crash leaves nothing but files to be removed; once
//! the marker of `install` is durable, the next start completes what was begun (D8, D10).

use std::fmt::Debug;
use std::sync::Arc;

use redb::StorageBackend;
use serde::{Deserialize, Serialize};

use super::id::{Ballot, Epoch, Round};
use crate::error::Error;
use crate::machine::{DurableState, Machine, SnapshotId};

/// The pieces in which a snapshot is asked for; only the last one is shorter.
pub(crate) use crate::machine::CHUNK_BYTES;

/// A snapshot that peers may have.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) id: SnapshotId,
    /// blake3 of each piece, as it was written.
    pub(crate) chunks: Arc<[[u8; 32]]>,
    pub(crate) file: Arc<dyn StorageBackend>,
}

/// Whether these bytes are the piece of the snapshot that follows on `here`, with the hash that was sent with them.
pub(crate) fn is_piece(id: SnapshotId, here: u64, bytes: &[u8], hash: &[u8; 32]) -> bool {
    let expected = id.bytes.saturating_sub(here).min(CHUNK_BYTES as u64);
    bytes.len() as u64 == expected && blake3::hash(bytes).as_bytes() == hash
}

/// A snapshot that is being received, piece after piece.
pub(crate) trait Incoming: Debug + Send {
    /// How much of it is here.
    fn received(&self) -> u64;

    /// Takes the next piece. Every now and then it is synced, so that a restart goes on from there.
    fn append(&mut self, piece: &[u8]) -> Result<(), Error>;
}

/// What is known of the log when the installation of a snapshot begins. Durable before the store is replaced, and gone
/// when the log has followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installation {
    /// The round of the snapshot.
    pub(crate) round: Round,
    /// What the log held by then: one that holds less when this is found is older than it was (D9).
    pub(crate) epoch: Epoch,
    pub(crate) chosen: Round,
    pub(crate) ballot: Ballot,
}

/// Why a received snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It is not what the peer said, or not of this cluster: it is thrown away.
    #[error("{0}")]
    Bad(String),
    /// It is good, and of a round that comes too early for this program; why.
    #[error("{0}")]
    Early(String),
    /// This node's disk does not take it now.
    #[error("{0}")]
    Disk(Error),
}

/// This node's files, as far as snapshots go.
pub(crate) trait Vault: Debug + Send + Sync {
    /// Copies a state to the one file that is served. Not while another export is there.
    fn export(&self, state: &DurableState) -> Result<Export, Error>;

    /// Removes the file that was served.
    fn withdraw(&self) -> Result<(), Error>;

    /// Goes on with the file of this snapshot, or begins it in the place of another one.
    fn receive(&self, id: SnapshotId) -> Result<Box<dyn Incoming>, Error>;

    /// Removes what was received.
    fn discard(&self) -> Result<(), Error>;

    /// Checks a snapshot that is whole, and makes a store of it beside the one in use.
    fn build(&self, id: SnapshotId) -> Result<(), Unusable>;

    /// Puts that store in the place of the one in use. After an error the node must be started again.
    fn install(&self, installation: Installation) -> Result<Machine, Error>;

    /// The log has followed: nothing is left to be completed.
    fn finish(&self) -> Result<(), Error>;

    /// Whether a flush that finds the disk full waits for room, or fails.
    fn wait_for_room(&self, waits: bool);

    /// From now on, what runs long ends early: the node stops.
    fn close(&self);
}
