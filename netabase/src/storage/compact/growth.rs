//! What the store's file takes on the disk, against what lives in it, while rows are overwritten, inserted and removed at
//! random: with compaction, and without.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::node::Directory;
use crate::storage::{Store, WriteSet};
use crate::testing::Random;

const ROWS: usize = 40_000;
/// A quarter of the pages, about.
const ROWS_A_FLUSH: usize = 1_000;
const FLUSHES: usize = 120;

impl Compacting {
    /// Whether neither a copy nor a count is under way.
    fn rests(&self) -> bool {
        let runs = self.copier.lock().unwrap().as_ref().is_some_and(|copier| !copier.is_finished());
        !runs && self.shared.lock().copy.is_none()
    }
}

struct Figures {
    /// Hundredths of what lives in it: the most it took while no copy was made, the most that both files took.
    settled_max: u64,
    with_copy_max: u64,
    at_the_end: u64,
    copies: usize,
}

fn overwrite(limits: Limits) -> Figures {
    let directory = TempDir::new().expect("a directory");
    let volume = Directory::open(directory.path()).expect("a directory").compacting_at(limits);
    let engine = volume.open_redb().expect("a store");
    let mut store = Store::open_with(Arc::clone(&engine) as _, 0).expect("a store");
    let (mut rows, mut random) = (BTreeMap::new(), Random::new(7));
    let taken = |name: &str| std::fs::metadata(directory.path().join(name)).map_or(0, |file| file.blocks() * 512);
    let inode = || std::fs::metadata(directory.path().join("store.redb")).expect("it is there").ino();
    let mut figures = Figures { settled_max: 0, with_copy_max: 0, at_the_end: 0, copies: 0 };
    let (mut file, mut flushes) = (inode(), 0);
    while flushes < FLUSHES || !engine.rests() {
        let mut set = WriteSet::default();
        for _ in 0..ROWS_A_FLUSH {
            // Twice as many keys as rows: half of them are there.
            let key = Bytes::from([&[1][..], &(random.below(2 * ROWS) as u64).to_be_bytes()].concat());
            let value = Bytes::from(vec![flushes as u8; 200 + random.below(200)]);
            let filled = rows.len() >= ROWS || flushes > 0;
            match (rows.contains_key(&key), filled && random.below(2) == 0) {
                (true, true) => {
                    rows.remove(&key);
                    set.remove(key);
                }
                (false, true) => {}
                (_, false) => {
                    rows.insert(key.clone(), value.len());
                    set.put(key, value);
                }
            }
        }
        let round = store.applied() + 1;
        let mut draft = store.draft();
        draft.write(set);
        draft.install(round).expect("it reads");
        let flush = store.begin_flush().expect("something to write");
        let done = flush.run([]).expect("it is written");
        drop(store.end_flush(done).expect("it was out"));
        flushes += usize::from(flushes > 0 || rows.len() >= ROWS);
        let live = rows.iter().map(|(key, value)| (key.len() + value) as u64).sum::<u64>();
        let (now, copy) = (taken("store.redb") * 100 / live, taken("store.redb.compact") * 100 / live);
        figures.copies += usize::from(std::mem::replace(&mut file, inode()) != file);
        if flushes > 0 {
            figures.with_copy_max = figures.with_copy_max.max(now + copy);
            figures.at_the_end = now;
            if engine.rests() {
                figures.settled_max = figures.settled_max.max(now);
            }
        }
    }
    figures
}

#[test]
fn a_file_takes_less_than_twice_what_lives_in_it_once_it_is_compacted() {
    let with = overwrite(Limits { file_bytes_min: 1 << 20, chunk_bytes: 1 << 20, sync_bytes: 8 << 20 });
    let without = overwrite(Limits { file_bytes_min: u64::MAX, ..Limits::default() });
    println!(
        "compacted {} times: at most {}%, {}% with the copy, {}% at the end; never compacted: at most {}%, {}% at the end",
        with.copies, with.settled_max, with.with_copy_max, with.at_the_end, without.settled_max, without.at_the_end
    );
    assert!(with.copies > 0 && with.settled_max <= 200, "{}", with.settled_max);
    assert!(without.settled_max > 200, "it tests nothing: {}", without.settled_max);
}
