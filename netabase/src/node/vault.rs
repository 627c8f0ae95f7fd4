//! This node's files, as catch-up by snapshot needs them.
//!
//! ```text
//! snapshot.out     a copy of the state, served to peers
//! snapshot.part    a snapshot that is received, and how much of it is synced (snapshot.mark)
//! store.*.new      what is built of it
//! install          the marker: from when it is durable until the log has followed (D8, D10)
//! ```
//! Must hold: all but the marker can be removed at any time; the marker is durable before the store in use is touched, and
//! is removed only after the log's transaction is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::space::LOW_WATER_BYTES;
use super::volume::{Side, Volume};
use crate::consensus::{ClusterId, Export, Incoming, Installation, Unusable, Vault};
use crate::error::{Error, Result};
use crate::machine::{CHUNK_BYTES, DurableState, Keeper, Machine, Roster, SnapshotId, Versions};
use crate::schema::{Catalog, Descriptor, codec};
use crate::storage::archive::{self, ArchiveError, Blob, Unpacking};
use crate::storage::{Store, StoreKind};

/// What is received is synced this often: as much may have to be fetched again after a crash.
const SYNC_BYTES: u64 = 16 << 20;
const MARK_BYTES: usize = 8 + 32 + 8 + 8 + 32;

/// The files of one node.
#[derive(Debug)]
pub(super) struct Files {
    volume: Arc<dyn Volume>,
    kind: StoreKind,
    catalog: Catalog,
    cluster: ClusterId,
    founders: Roster,
    closed: AtomicBool,
}

impl Files {
    pub(super) fn new(
        volume: Arc<dyn Volume>,
        kind: StoreKind,
        catalog: Catalog,
        cluster: ClusterId,
        founders: Roster,
    ) -> Self {
        Files { volume, kind, catalog, cluster, founders, closed: AtomicBool::new(false) }
    }

    fn goes_on(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }

    /// Whether so much more fits onto the disk.
    fn check_room(&self, bytes: u64) -> Result<()> {
        let needed = bytes.saturating_add(LOW_WATER_BYTES);
        match self.volume.free_bytes() {
            Some(free) if free < needed => Err(Error::Storage {
                reason: format!(
                    "a snapshot needs {} MiB, the disk has {} MiB left: free some space",
                    needed >> 20,
                    free >> 20
                ),
                source: None,
            }),
            _ => Ok(()),
        }
    }

    /// Reads all of it, and checks that it is what was asked for, of this cluster and of a schema that this node reads.
    fn check(&self, id: SnapshotId, file: &Blob) -> Result<(), ArchiveError> {
        let mut hash = [0; 32];
        let length = file.len()?;
        if length != id.bytes || length < hash.len() as u64 {
            return Err(ArchiveError::Damaged("its length is another one"));
        }
        file.read(length - hash.len() as u64, &mut hash)?;
        let header = archive::check(&**file, &|| self.goes_on())?;
        if hash != id.hash || header.round != id.round {
            return Err(ArchiveError::Damaged("it is another one than was asked for"));
        }
        if header.cluster != self.cluster.0 {
            return Err(ArchiveError::Foreign("it is of another cluster".into()));
        }
        let theirs: Descriptor = codec::decode(&header.descriptor)
            .map_err(|error| ArchiveError::Foreign(format!("its schema does not decode: {error}")))?;
        self.catalog.descriptor().check(&theirs).map_err(|error| ArchiveError::Foreign(error.to_string()))
    }
}

impl Vault for Files {
    fn export(&self, state: &DurableState) -> Result<Export> {
        self.volume.remove_side(Side::Outgoing)?;
        let file = self.volume.open_side(Side::Outgoing)?;
        let packed = state.pack(self.cluster.0, &*file, &|| self.goes_on()).map_err(|error| {
            // Half a file helps nobody, and may be what filled the disk.
            let _ = self.volume.remove_side(Side::Outgoing);
            error_of(error)
        })?;
        Ok(Export { id: packed.id, chunks: packed.chunks.into(), file })
    }

    fn withdraw(&self) -> Result<()> {
        self.volume.remove_side(Side::Outgoing)
    }

    fn receive(&self, id: SnapshotId) -> Result<Box<dyn Incoming>> {
        let mark = self.volume.open_side(Side::Mark)?;
        let received = read_mark(&mark).filter(|(of, _)| *of == id).map(|(_, received)| received);
        let (file, mark, received) = match received.filter(|_| self.volume.has_side(Side::Incoming)) {
            Some(received) => {
                let file = self.volume.open_side(Side::Incoming)?;
                let here = file.len().map_err(disk_error)?.min(received);
                let whole = if here == id.bytes { here } else { here - here % CHUNK_BYTES as u64 };
                (file, mark, whole)
            }
            None => {
                // The mark first: what is written now is not what it speaks of.
                self.volume.remove_side(Side::Mark)?;
                let mark = self.volume.open_side(Side::Mark)?;
                self.volume.remove_side(Side::Incoming)?;
                (self.volume.open_side(Side::Incoming)?, mark, 0)
            }
        };
        // As much again for the store that is made of it.
        self.check_room((id.bytes - received).saturating_add(id.bytes))?;
        file.set_len(received).map_err(disk_error)?;
        Ok(Box::new(Part { id, file, mark, received, synced: received }))
    }

    fn discard(&self) -> Result<()> {
        self.volume.remove_side(Side::Mark)?;
        self.volume.remove_side(Side::Incoming)?;
        self.volume.drop_new_store()
    }

    fn build(&self, id: SnapshotId) -> Result<(), Unusable> {
        let file = self.volume.open_side(Side::Incoming).map_err(|error| Unusable::Disk(error.into()))?;
        // Before anything is made of it: it may be of a peer that lies, or what a failing disk gave back.
        self.check(id, &file).map_err(unusable)?;
        let Some(engine) = self.volume.make_store(self.kind).map_err(Unusable::Disk)? else { return Ok(()) };
        let rows = Unpacking::begin(&*file).map_err(unusable)?;
        rows.into_engine(&*engine, Keeper::Node.name().as_bytes(), &|| self.goes_on()).map_err(unusable)?;
        let store = Store::open(engine).map_err(Unusable::Disk)?;
        let versions = Versions::load(&store.view()).map_err(Unusable::Disk)?;
        if versions.are_outgrown_by(&self.catalog) {
            // What the others have applied since may be known here: nothing is in place yet, so it can be waited for.
            return Err(Unusable::Early("it has rows in a version that this program does not know any more".into()));
        }
        Ok(())
    }

    fn install(&self, installation: Installation) -> Result<Machine> {
        let marker = Marker { installation, kind: format!("{:?}", self.kind) };
        self.volume.write_marker(&marker.encode()?)?;
        self.volume.swap_store(self.kind, installation.round)?;
        let store = Store::open(self.volume.open_store(self.kind)?)?;
        let machine = Machine::open(store, self.catalog.clone(), self.founders.clone())?;
        if machine.applied() == installation.round {
            return Ok(machine);
        }
        Err(Error::Storage {
            reason: format!(
                "the store that was installed holds round {} instead of {}: check the disk",
                machine.applied(),
                installation.round
            ),
            source: None,
        })
    }

    fn finish(&self) -> Result<()> {
        finish(&*self.volume)
    }

    fn wait_for_room(&self, waits: bool) {
        self.volume.wait_for_room(waits);
    }

    fn close(&self) {
        self.volume.wait_for_room(false);
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// A snapshot that is received.
#[derive(Debug)]
struct Part {
    id: SnapshotId,
    file: Blob,
    mark: Blob,
    received: u64,
    synced: u64,
}

impl Incoming for Part {
    fn received(&self) -> u64 {
        self.received
    }

    fn append(&mut self, piece: &[u8]) -> Result<()> {
        archive::write(&*self.file, self.received, piece).map_err(disk_error)?;
        self.received += piece.len() as u64;
        if self.received - self.synced >= SYNC_BYTES || self.received >= self.id.bytes {
            self.file.sync_data().map_err(disk_error)?;
            // What it says is true whether it survives or not.
            archive::write(&*self.mark, 0, &mark(self.id, self.received)).map_err(disk_error)?;
            self.mark.sync_data().map_err(disk_error)?;
            self.synced = self.received;
        }
        Ok(())
    }
}

fn mark(id: SnapshotId, received: u64) -> Vec<u8> {
    let mut mark = Vec::with_capacity(MARK_BYTES);
    mark.extend_from_slice(&id.round.to_be_bytes());
    mark.extend_from_slice(&id.hash);
    mark.extend_from_slice(&id.bytes.to_be_bytes());
    mark.extend_from_slice(&received.to_be_bytes());
    let hash = blake3::hash(&mark);
    mark.extend_from_slice(hash.as_bytes());
    mark
}

fn read_mark(file: &Blob) -> Option<(SnapshotId, u64)> {
    let mut bytes = [0; MARK_BYTES];
    file.read(0, &mut bytes).ok()?;
    let number = |at: usize| bytes[at..].first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let (round, length, received) = (number(0)?, number(40)?, number(48)?);
    let id = SnapshotId { round, hash: *bytes[8..].first_chunk()?, bytes: length };
    (mark(id, received) == bytes).then_some((id, received))
}

/// What is being installed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Marker {
    installation: Installation,
    /// The kind of the store, by its name.
    kind: String,
}

impl Marker {
    /// Checksum of the rest, the rest.
    fn encode(&self) -> Result<Vec<u8>> {
        let body = codec::encode(self).map_err(|error| Error::storage("the marker cannot be written", error))?;
        Ok([blake3::hash(&body).as_bytes().as_slice(), &body].concat())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let body = bytes.split_first_chunk::<32>().filter(|(hash, body)| blake3::hash(body).as_bytes() == *hash);
        body.and_then(|(_, body)| codec::decode(body).ok()).ok_or_else(|| Error::DataDirectory {
            reason: "its file `install` is damaged: check the disk, then restore the directory, or remove it and let \
                     the node join anew"
                .into(),
        })
    }
}

/// At the start, before the store is opened: completes what a crash interrupted, up to the log, and removes what is of no
/// use any more. The log has to follow to the round of what it returns, and then [`finish`] is called.
pub(super) fn resume(volume: &dyn Volume, kind: StoreKind) -> Result<Option<Installation>> {
    volume.remove_side(Side::Outgoing)?;
    let Some(marker) = volume.read_marker()? else {
        volume.drop_new_store()?;
        return Ok(None);
    };
    let Marker { installation, kind: of } = Marker::decode(&marker)?;
    if of != format!("{kind:?}") {
        return Err(Error::DataDirectory {
            reason: format!(
                "a snapshot is being installed in its store, of `StoreKind::{of}`, and it was opened with \
                 `StoreKind::{kind:?}`: start it with `StoreKind::{of}`"
            ),
        });
    }
    volume.swap_store(kind, installation.round)?;
    Ok(Some(installation))
}

/// The log has followed.
pub(super) fn finish(volume: &dyn Volume) -> Result<()> {
    volume.remove_marker()?;
    volume.remove_side(Side::Mark)?;
    volume.remove_side(Side::Incoming)
}

fn unusable(error: ArchiveError) -> Unusable {
    match error {
        ArchiveError::Damaged(reason) => Unusable::Bad(reason.into()),
        ArchiveError::Foreign(reason) => Unusable::Bad(reason),
        other => Unusable::Disk(error_of(other)),
    }
}

fn error_of(error: ArchiveError) -> Error {
    match error {
        ArchiveError::Stopped => Error::ShutDown,
        ArchiveError::Disk(error) => disk_error(error),
        ArchiveError::Store(error) => error.into(),
        ArchiveError::Damaged(_) | ArchiveError::Foreign(_) => {
            Error::Storage { reason: format!("a snapshot cannot be used: {error}"), source: None }
        }
    }
}

fn disk_error(error: std::io::Error) -> Error {
    crate::storage::StoreError::Io(error).into()
}

#[cfg(test)]
mod tests;
