//! What the store's file takes on the disk, against what lives in it: filled in pieces, while rows are overwritten, inserted
//! and removed at random, and after most of them were removed; with compaction, and without.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::node::Directory;
use crate::storage::{Store, WriteSet};
use crate::testing::Random;

/// How many keys there are; there are rows at half of them.
const KEYS: usize = 80_000;
/// They are in a fifth of the pages, about.
const ROWS_A_FLUSH: usize = 1_000;

struct Bench {
    directory: TempDir,
    engine: Arc<Compacting>,
    store: Store,
    rows: BTreeMap<u64, usize>,
    random: Random,
    file: u64,
    copies: usize,
    /// Hundredths of what lives in it, of both files, at most.
    most: u64,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let directory = TempDir::new().expect("a directory");
        let volume =
            Directory::open(directory.path(), crate::storage::CACHE_BYTES).expect("a directory").compacting_at(limits);
        let engine = volume.open_redb().expect("a store");
        let store = Store::open_with(Arc::clone(&engine) as _, 0).expect("a store");
        let (rows, random) = (BTreeMap::new(), Random::new(7));
        Bench { directory, engine, store, rows, random, file: 0, copies: 0, most: 0 }
    }

    /// Hundredths of what lives in it.
    fn taken(&self, name: &str) -> u64 {
        let live: usize = self.rows.values().map(|bytes| 9 + bytes).sum();
        std::fs::metadata(self.directory.path().join(name)).map_or(0, |file| file.blocks() * 512) * 100 / live as u64
    }

    /// Removes those for which that holds, and writes the others.
    fn flush(&mut self, keys: impl IntoIterator<Item = u64>, removes: impl Fn(&Self, u64) -> bool) {
        let mut set = WriteSet::default();
        for row in keys {
            let key = Bytes::from([&[1][..], &row.to_be_bytes()].concat());
            if removes(self, row) {
                self.rows.remove(&row);
                set.remove(key);
            } else {
                let bytes = 200 + self.random.index(200);
                self.rows.insert(row, bytes);
                set.put(key, Bytes::from(vec![row as u8; bytes]));
            }
        }
        let round = self.store.applied() + 1;
        let mut draft = self.store.draft();
        draft.write(set);
        draft.install(round).expect("it reads");
        self.write_flush();
    }

    fn write_flush(&mut self) {
        let Some(flush) = self.store.begin_flush() else { return };
        drop(self.store.end_flush(flush.run([]).expect("it is written")).expect("it was out"));
        let file = std::fs::metadata(self.directory.path().join("store.redb")).expect("it is there").ino();
        self.copies += usize::from(std::mem::replace(&mut self.file, file) != file);
        self.most = self.most.max(self.taken("store.redb") + self.taken("store.redb.compact"));
    }

    fn some_keys(&mut self) -> Vec<u64> {
        (0..ROWS_A_FLUSH).map(|_| self.random.index(KEYS) as u64).collect()
    }

    /// Until nothing is counted or copied any more; what it takes then.
    fn settled(&mut self) -> u64 {
        let rests = |engine: &Compacting| {
            let runs =
                engine.copier.lock().expect("nobody panicked").as_ref().is_some_and(|copier| !copier.is_finished());
            !runs && engine.shared.lock().copy.is_none()
        };
        while !rests(&self.engine) {
            self.write_flush();
            std::thread::yield_now();
        }
        self.taken("store.redb")
    }

    fn run(limits: Limits) -> [u64; 4] {
        let mut bench = Bench::new(limits);
        for piece in 0..40 {
            bench.flush((piece..KEYS as u64).step_by(40).filter(|key| key % 80 < 40), |_, _| false);
        }
        let filled = bench.settled();
        (bench.copies, bench.most) = (0, 0);
        for flush in 0..150_u64 {
            let keys = bench.some_keys();
            // Half of those that are there go, and half of those that are not come.
            let keys: Vec<u64> =
                keys.into_iter().filter(|key| bench.rows.contains_key(key) || (key + flush) % 2 == 0).collect();
            bench.flush(keys, |bench, key| bench.rows.contains_key(&key) && (key + flush) % 2 == 0);
        }
        let (copies, most) = (bench.copies, bench.most);
        let steady = bench.settled();
        for part in 0..10 {
            let gone: Vec<u64> = bench.rows.keys().copied().filter(|key| key % 10 == part && key % 3 > 0).collect();
            bench.flush(gone, |_, _| true);
        }
        let mut emptied = u64::MAX;
        for part in 0..13 {
            // It is counted again after enough was changed.
            let keys: Vec<u64> = bench.rows.keys().copied().filter(|key| key % 13 == part).collect();
            bench.flush(keys, |_, _| false);
            emptied = emptied.min(bench.settled());
        }
        println!(
            "filled in pieces {filled}%, then overwritten at random {steady}% ({most}% at most, with {copies} copies), then two \
             thirds removed {emptied}%"
        );
        [filled, steady, most, emptied]
    }
}

#[test]
fn a_file_takes_no_more_than_twice_what_lives_in_it_once_it_is_compacted() {
    let small = Limits { file_bytes_min: 1 << 20, worth: 2, chunk_bytes: 1 << 20, sync_bytes: 8 << 20 };
    let [filled, steady, _, emptied] = Bench::run(small);
    let without = Bench::run(Limits { file_bytes_min: u64::MAX, ..small });
    // It is counted again only after a quarter was changed: by then it may have grown a little beyond.
    assert!(filled <= 230 && steady <= 230 && emptied <= 200, "{filled} {steady} {emptied}");
    assert!(without[3] > 300, "it tests nothing: {without:?}");
}
