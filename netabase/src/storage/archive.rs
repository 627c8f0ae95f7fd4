//! The snapshot file: all replicated rows as of one round, in one file that says so itself.
//!
//! ```text
//! magic 8 | format BE4 | header length BE4 | header       cluster, round, schema, what the rows come to
//! key length BE4 | value length BE4 | key | value …       in key order, without this file's own affairs (meta)
//! ff ff ff ff | rows BE8 | blake3 32                      over everything before it
//! ```
//! What must hold: nothing of a file is believed before its hash was seen; memory does not grow with the file, nor with
//! what a damaged one claims; the same rows give the same bytes on every node and engine. Written for a peer that is too
//! far behind for the log, and by `backup`; read by the installation of either.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use redb::StorageBackend;
use serde::{Deserialize, Serialize};

use super::engine::{Engine, Snapshot, StoreError};
use super::layout;
use super::store::applied_row;
use super::sum::Sum;
use super::view::Lease;
use crate::schema::codec;

/// A file that is read and written at places.
pub(crate) type Blob = Arc<dyn StorageBackend>;

/// The pieces in which a file is written, hashed and sent; only the last one is shorter.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// A file that is written is synced this often.
const SYNC_BYTES: u64 = 16 << 20;

const MAGIC: &[u8; 8] = b"netasnap";
/// Raised with every change of what the head of this file draws.
const FORMAT: u32 = 2;
const HEAD_BYTES: usize = 16;
const HEADER_BYTES_MAX: usize = 16 << 20;
/// No round is greater: of a node that takes a million a second, this is reached after a hundred thousand years. What says
/// otherwise is damaged, or lies, so that counting on from it never overflows.
pub(crate) const ROUND_MAX: u64 = 1 << 62;
/// In the place of a key's length.
const END: u32 = u32::MAX;
const HASH_BYTES: usize = 32;
const NOT_AS_WRITTEN: &str = "its rows are not those that were written: check the disk of the node that they are of";
/// No row of a node is longer: a record, or what a change of it holds before and after.
const ROW_BYTES_MAX: usize = 128 << 20;
/// Rows go to an engine in writes of this size, and every so many of them are synced together.
const BATCH_BYTES: usize = 8 << 20;
const SYNC_BATCHES: usize = 8;

/// What tells one file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchiveId {
    /// The round whose state it holds.
    pub(crate) round: u64,
    /// What it ends with.
    pub(crate) hash: [u8; HASH_BYTES],
    pub(crate) bytes: u64,
}

/// What a file says of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The format of the rows: `layout::FORMAT`.
    rows: u32,
    pub(crate) cluster: [u8; 16],
    pub(crate) round: u64,
    /// codec(Descriptor): whose rows these are, for whoever has the Rust types and whoever has not.
    pub(crate) descriptor: Vec<u8>,
    /// What the rows came to when they were written: whoever writes the file, and whoever reads it, holds them against it.
    pub(crate) sum: Sum,
}

/// Why a file cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("{0}")]
    Foreign(String),
    #[error("it was to end")]
    Stopped,
    #[error("{0}")]
    Disk(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// The rows at the round at which a store is durable.
#[derive(Clone)]
pub(crate) struct DurableState {
    base: Arc<dyn Snapshot>,
    round: u64,
    _lease: Lease,
}

impl std::fmt::Debug for DurableState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DurableState").field("round", &self.round).finish_non_exhaustive()
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) id: ArchiveId,
    /// blake3 of each piece of [`CHUNK_BYTES`].
    pub(crate) chunks: Vec<[u8; HASH_BYTES]>,
}

impl DurableState {
    pub(super) fn new(base: Arc<dyn Snapshot>, round: u64, lease: Lease) -> Self {
        DurableState { base, round, _lease: lease }
    }

    pub(crate) fn round(&self) -> u64 {
        self.round
    }

    /// Writes it all to an empty file, and syncs that. Asks between rows whether to go on.
    pub(crate) fn pack(
        &self,
        cluster: [u8; 16],
        file: &dyn StorageBackend,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Packed, ArchiveError> {
        let descriptor = self.base.get(&layout::meta_key(layout::META_DESCRIPTOR))?.unwrap_or_default().to_vec();
        let header =
            Header { rows: layout::FORMAT, cluster, round: self.round, descriptor, sum: Sum::stored(&*self.base)? };
        let expected = header.sum;
        let header = codec::encode(&header).map_err(|error| ArchiveError::Foreign(error.to_string()))?;
        let mut pen = Pen::new(file);
        pen.write(MAGIC)?;
        pen.write(&FORMAT.to_be_bytes())?;
        pen.write(&length(header.len())?.to_be_bytes())?;
        pen.write(&header)?;
        let meta = layout::meta_key("");
        let (mut rows, mut sum) = (0_u64, Sum::default());
        for row in self.base.scan(Bound::Unbounded, Bound::Excluded(&meta), false)? {
            let (key, value) = row?;
            if !goes_on() {
                return Err(ArchiveError::Stopped);
            }
            pen.write(&length(key.len())?.to_be_bytes())?;
            pen.write(&length(value.len())?.to_be_bytes())?;
            pen.write(&key)?;
            pen.write(&value)?;
            if Sum::covers(&key) {
                sum.add(&key, &value);
            }
            rows += 1;
        }
        if sum != expected {
            return Err(ArchiveError::Damaged(NOT_AS_WRITTEN));
        }
        pen.write(&END.to_be_bytes())?;
        pen.write(&rows.to_be_bytes())?;
        pen.finish(self.round)
    }
}

fn length(bytes: usize) -> Result<u32, ArchiveError> {
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= ROW_BYTES_MAX);
    length.ok_or_else(|| ArchiveError::Foreign(format!("a row of {bytes} bytes is longer than any may be")))
}

/// Writes pieces, and hashes what it writes.
struct Pen<'f> {
    file: &'f dyn StorageBackend,
    piece: Vec<u8>,
    written: u64,
    hasher: blake3::Hasher,
    chunks: Vec<[u8; HASH_BYTES]>,
}

impl<'f> Pen<'f> {
    fn new(file: &'f dyn StorageBackend) -> Self {
        let (piece, hasher) = (Vec::with_capacity(CHUNK_BYTES), blake3::Hasher::new());
        Pen { file, piece, written: 0, hasher, chunks: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.update(bytes);
        self.put(bytes)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == CHUNK_BYTES {
                self.spill()?;
            }
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), ArchiveError> {
        self.chunks.push(*blake3::hash(&self.piece).as_bytes());
        write(self.file, self.written, &self.piece)?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        // All at once at the end, it would keep the disk busy for seconds, and the log waiting.
        if self.written.is_multiple_of(SYNC_BYTES) {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn finish(mut self, round: u64) -> Result<Packed, ArchiveError> {
        let hash = *self.hasher.finalize().as_bytes();
        self.put(&hash)?;
        if !self.piece.is_empty() {
            self.spill()?;
        }
        self.file.sync_data()?;
        Ok(Packed { id: ArchiveId { round, hash, bytes: self.written }, chunks: self.chunks })
    }
}

/// Writes at a place, which may be behind the end.
pub(crate) fn write(file: &dyn StorageBackend, at: u64, bytes: &[u8]) -> io::Result<()> {
    let end = at + bytes.len() as u64;
    if file.len()? < end {
        file.set_len(end)?;
    }
    file.write(at, bytes)
}

/// Reads a file's rows, one after the other.
pub(crate) struct Unpacking<'f> {
    file: &'f dyn StorageBackend,
    /// Read from the file and not yet taken, from `taken` on.
    piece: Vec<u8>,
    taken: usize,
    read: u64,
    bytes: u64,
    hasher: blake3::Hasher,
    last: Bytes,
    rows: u64,
    sum: Sum,
    left_out: &'static [u8],
    header: Header,
}

impl<'f> Unpacking<'f> {
    /// Reads the header. It is not to be believed before the last row was read.
    pub(crate) fn begin(file: &'f dyn StorageBackend) -> Result<Self, ArchiveError> {
        let sum = Sum::default();
        let header = Header { rows: 0, cluster: [0; 16], round: 0, descriptor: Vec::new(), sum };
        let (piece, last) = (Vec::new(), Bytes::new());
        let (bytes, hasher) = (file.len()?, blake3::Hasher::new());
        let mut reader =
            Unpacking { file, piece, taken: 0, read: 0, bytes, hasher, last, rows: 0, sum, left_out: &[], header };
        let head: [u8; HEAD_BYTES] = reader.array()?;
        let [magic @ .., _, _, _, _, _, _, _, _] = head;
        if magic != *MAGIC {
            return Err(ArchiveError::Foreign("it is not a snapshot of Netabase".into()));
        }
        let format = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let length = u32::from_be_bytes([head[12], head[13], head[14], head[15]]) as usize;
        if format != FORMAT {
            return Err(ArchiveError::Foreign(format!("its format is {format}, this version reads {FORMAT}")));
        }
        if length > HEADER_BYTES_MAX {
            return Err(ArchiveError::Damaged("its header is too long"));
        }
        let header = reader.take(length)?;
        reader.header = codec::decode(&header).map_err(|_| ArchiveError::Damaged("its header does not decode"))?;
        if reader.header.rows != layout::FORMAT {
            let (theirs, ours) = (reader.header.rows, layout::FORMAT);
            return Err(ArchiveError::Foreign(format!("its rows have format {theirs}, this version reads {ours}")));
        }
        if reader.header.round > ROUND_MAX {
            return Err(ArchiveError::Damaged("its round is greater than any"));
        }
        Ok(reader)
    }

    /// What the file says of itself; to be believed once everything was read.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Without the rows of these spaces.
    pub(crate) fn leaving_out(self, spaces: &'static [u8]) -> Self {
        Unpacking { left_out: spaces, ..self }
    }

    /// The next row; `None` once everything was read and the hash is right.
    pub(crate) fn next_row(&mut self) -> Result<Option<(Bytes, Bytes)>, ArchiveError> {
        let key_bytes = u32::from_be_bytes(self.array()?);
        if key_bytes == END {
            return self.end().map(|()| None);
        }
        let value_bytes = u32::from_be_bytes(self.array()?);
        let (key_bytes, value_bytes) = (key_bytes as usize, value_bytes as usize);
        if key_bytes.max(value_bytes) > ROW_BYTES_MAX {
            return Err(ArchiveError::Damaged("a row is too long"));
        }
        let (key, value) = (Bytes::from(self.take(key_bytes)?), Bytes::from(self.take(value_bytes)?));
        if key <= self.last || layout::is_meta(&key) {
            return Err(ArchiveError::Damaged("its rows are not in order"));
        }
        self.last = key.clone();
        self.rows += 1;
        if Sum::covers(&key) {
            self.sum.add(&key, &value);
        }
        Ok(Some((key, value)))
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let rows = u64::from_be_bytes(self.array()?);
        let ours = *self.hasher.finalize().as_bytes();
        let theirs: [u8; HASH_BYTES] = self.array()?;
        if rows != self.rows || ours != theirs {
            return Err(ArchiveError::Damaged("its hash is another one"));
        }
        if self.sum != self.header.sum {
            return Err(ArchiveError::Damaged(NOT_AS_WRITTEN));
        }
        if self.read != self.bytes || self.taken != self.piece.len() {
            return Err(ArchiveError::Damaged("something follows its end"));
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| ArchiveError::Damaged("it ends early"))
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, ArchiveError> {
        // Before anything is allocated for it.
        if length as u64 > self.bytes - self.read + (self.piece.len() - self.taken) as u64 {
            return Err(ArchiveError::Damaged("it ends early"));
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if self.taken == self.piece.len() {
                self.fill()?;
            }
            let now = (length - bytes.len()).min(self.piece.len() - self.taken);
            bytes.extend_from_slice(&self.piece[self.taken..self.taken + now]);
            self.taken += now;
        }
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn fill(&mut self) -> Result<(), ArchiveError> {
        let next = usize::try_from(self.bytes - self.read).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        self.piece.resize(next, 0);
        self.taken = 0;
        self.file.read(self.read, &mut self.piece)?;
        self.read += next as u64;
        Ok(())
    }

    /// Writes all rows into an empty engine, and what makes a node's store of them once the hash was seen; synced.
    /// `keeper` is what gives the rows their rounds.
    pub(crate) fn into_engine(
        mut self,
        engine: &dyn Engine,
        keeper: &[u8],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Header, ArchiveError> {
        let (mut batch, mut bytes, mut batches) = (Vec::new(), 0, 0);
        let mut left = Sum::default();
        while let Some((key, value)) = self.next_row()? {
            if key.first().is_some_and(|space| self.left_out.contains(space)) {
                if Sum::covers(&key) {
                    left.add(&key, &value);
                }
                continue;
            }
            bytes += key.len() + value.len();
            batch.push((key, Some(value)));
            if bytes >= BATCH_BYTES {
                if !goes_on() {
                    return Err(ArchiveError::Stopped);
                }
                batches += 1;
                engine.write(&mut batch.drain(..), batches % SYNC_BATCHES == 0)?;
                bytes = 0;
            }
        }
        let Header { round, descriptor, .. } = &self.header;
        let meta = |name, value: &[u8]| (layout::meta_key(name), Some(Bytes::copy_from_slice(value)));
        batch.push(applied_row(*round));
        let mut kept = self.sum;
        kept.join(left.negated());
        batch.push(kept.row());
        batch.push(meta(layout::META_DESCRIPTOR, descriptor));
        batch.push(meta(layout::META_FORMAT, &layout::FORMAT.to_be_bytes()));
        batch.push(meta(layout::META_KEEPER, keeper));
        engine.write(&mut batch.into_iter(), true)?;
        Ok(self.header)
    }
}

/// Reads the whole file, and gives its header if it is sound.
pub(crate) fn check(file: &dyn StorageBackend, goes_on: &dyn Fn() -> bool) -> Result<Header, ArchiveError> {
    let mut rows = Unpacking::begin(file)?;
    while rows.next_row()?.is_some() {
        if !goes_on() {
            return Err(ArchiveError::Stopped);
        }
    }
    Ok(rows.header)
}

#[cfg(test)]
mod tests;
