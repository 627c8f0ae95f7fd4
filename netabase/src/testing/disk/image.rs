//! The bytes of a [`ForgetfulDisk`](super::ForgetfulDisk): what is on the platter, what a reader sees,
//! and the versions in between. Sparse: a sector that was never written takes no memory and reads as
//! zeros. Knows nothing of handles, faults or threads.

use std::{collections::BTreeMap, io, sync::Arc};

use super::Unsynced;
use crate::testing::Random;

/// What a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

type Sector = Arc<[u8; SECTOR_BYTES]>;
type Sectors = BTreeMap<u64, Sector>;

#[derive(Debug, Default)]
pub(super) struct Image {
    /// Synced: survives any power cut.
    platter: Sectors,
    platter_len: u64,
    /// What readers see.
    cache: Sectors,
    cache_len: u64,
    /// The sectors that differ, or may, between the two.
    pending: BTreeMap<u64, Pending>,
    /// Every length since the last sync, in order.
    pending_lens: Vec<u64>,
}

/// A sector written since the last sync.
#[derive(Debug, Default)]
struct Pending {
    /// Every content it had, in order; never empty.
    versions: Vec<Sector>,
    /// A sync of it failed: a later one no longer carries it, unless it is written again.
    abandoned: bool,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.cache_len
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.cache_len) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a read beyond the end of the disk"));
        }
        for piece in pieces(offset, out.len()) {
            let target = &mut out[piece.position..piece.position + piece.len];
            match self.cache.get(&piece.sector) {
                Some(sector) => target.copy_from_slice(&sector[piece.start..piece.start + piece.len]),
                None => target.fill(0),
            }
        }
        Ok(())
    }

    /// Writes, and makes the disk longer where the data ends beyond it.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        if end > self.cache_len {
            self.set_len(end);
        }
        for piece in pieces(offset, data.len()) {
            let mut content = self.cache.get(&piece.sector).map_or([0; SECTOR_BYTES], |sector| **sector);
            content[piece.start..piece.start + piece.len]
                .copy_from_slice(&data[piece.position..piece.position + piece.len]);
            self.put(piece.sector, content);
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.cache_len {
            // What lies beyond must read as zeros if the disk grows again; whether that reaches the
            // platter before the power goes is as open as for any other write.
            let boundary = (len % SECTOR_BYTES as u64) as usize;
            let cut: Vec<u64> = self.cache.range(len / SECTOR_BYTES as u64..).map(|(number, _)| *number).collect();
            for number in cut {
                let mut content = [0; SECTOR_BYTES];
                if number == len / SECTOR_BYTES as u64 {
                    content[..boundary].copy_from_slice(&self.cache[&number][..boundary]);
                }
                self.put(number, content);
                if number >= len.div_ceil(SECTOR_BYTES as u64) {
                    self.cache.remove(&number);
                }
            }
        }
        if len != self.cache_len {
            self.cache_len = len;
            self.pending_lens.push(len);
        }
    }

    /// Everything pending reaches the platter, but for what an earlier failed sync gave up.
    pub(super) fn sync(&mut self) {
        self.pending.retain(|number, pending| {
            if pending.abandoned {
                return true;
            }
            match self.cache.get(number) {
                Some(sector) => self.platter.insert(*number, Arc::clone(sector)),
                None => self.platter.remove(number),
            };
            false
        });
        self.platter_len = self.cache_len;
        self.pending_lens.clear();
    }

    /// A sync failed: what was pending can still be read, and no later sync carries it.
    pub(super) fn abandon(&mut self) {
        for pending in self.pending.values_mut() {
            pending.abandoned = true;
        }
    }

    pub(super) fn lose_power(&mut self, unsynced: Unsynced) {
        let pending = std::mem::take(&mut self.pending);
        let lens = std::mem::take(&mut self.pending_lens);
        match unsynced {
            Unsynced::Lost => {}
            Unsynced::Kept => {
                self.platter = self.cache.clone();
                self.platter_len = self.cache_len;
            }
            Unsynced::Torn { seed } => {
                let mut random = Random::new(seed);
                // 0 is what was synced; then each later version in turn.
                if let Some(survivor) = random.index(lens.len() + 1).checked_sub(1) {
                    self.platter_len = lens[survivor];
                }
                for (number, mut pending) in pending {
                    if let Some(survivor) = random.index(pending.versions.len() + 1).checked_sub(1) {
                        self.platter.insert(number, pending.versions.swap_remove(survivor));
                    }
                }
                self.platter.split_off(&self.platter_len.div_ceil(SECTOR_BYTES as u64));
            }
        }
        self.cache = self.platter.clone();
        self.cache_len = self.platter_len;
    }

    pub(super) fn bytes_used(&self) -> u64 {
        (self.cache.len() * SECTOR_BYTES) as u64
    }

    /// The same, if `len` bytes were written at `offset`.
    pub(super) fn bytes_used_after(&self, offset: u64, len: usize) -> u64 {
        let new = pieces(offset, len).filter(|piece| !self.cache.contains_key(&piece.sector)).count();
        self.bytes_used() + (new * SECTOR_BYTES) as u64
    }

    fn put(&mut self, number: u64, content: [u8; SECTOR_BYTES]) {
        let sector = Arc::new(content);
        let pending = self.pending.entry(number).or_default();
        pending.versions.push(Arc::clone(&sector));
        pending.abandoned = false;
        self.cache.insert(number, sector);
    }
}

/// The part of a read or write that falls into one sector.
struct Piece {
    sector: u64,
    /// Where in the sector it starts.
    start: usize,
    /// Where in the caller's bytes it starts.
    position: usize,
    len: usize,
}

fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut position = 0;
    std::iter::from_fn(move || {
        if position == len {
            return None;
        }
        let at = offset + position as u64;
        let start = (at % SECTOR_BYTES as u64) as usize;
        let piece = Piece {
            sector: at / SECTOR_BYTES as u64,
            start,
            position,
            len: (SECTOR_BYTES - start).min(len - position),
        };
        position += piece.len;
        Some(piece)
    })
}
