//! Copies that are made in steps, between and amid flushes, against an ordered map.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::node::{Directory, Volume as _};
use crate::storage::view::{Rows as _, View};
use crate::storage::{Store, StoreKind, WriteSet};
use crate::testing::{Disks, Fuse, Mounted, Random, Unsynced};

type Oracle = BTreeMap<Bytes, Bytes>;

/// Steps of a few rows, and none that nobody asked for.
const BY_HAND: Limits = Limits { file_bytes_min: u64::MAX, worth: 2, chunk_bytes: 2_000, sync_bytes: 10_000 };

/// A store with what should be in it.
struct Bench {
    disks: Disks,
    mounted: Mounted,
    engine: Arc<Compacting>,
    store: Store,
    rows: Oracle,
    random: Random,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let disks = Disks::new();
        disks.compact_at(BY_HAND);
        Bench::on(disks, Oracle::new(), seed)
    }

    fn on(disks: Disks, rows: Oracle, seed: u64) -> Self {
        let mounted = disks.mount();
        let engine = mounted.open_redb().expect("a database");
        let store = Store::open_with(Arc::clone(&engine) as _, 0).expect("a store");
        Bench { disks, mounted, engine, store, rows, random: Random::new(seed) }
    }

    /// A round that overwrites, inserts and removes so many rows, not durable yet.
    fn change(&mut self, count: usize) {
        let mut set = WriteSet::default();
        let round = self.store.applied() + 1;
        for _ in 0..count {
            let key = Bytes::from(vec![1, self.random.index(2) as u8, self.random.index(200) as u8]);
            if self.random.index(4) == 0 {
                self.rows.remove(&key);
                set.remove(key);
            } else {
                let value = Bytes::from(vec![round as u8; 20 + self.random.index(400)]);
                self.rows.insert(key.clone(), value.clone());
                set.put(key, value);
            }
        }
        let mut draft = self.store.draft();
        draft.write(set);
        draft.install(round).expect("it reads");
    }

    fn flush(&mut self) -> Result<(), crate::Error> {
        let Some(flush) = self.store.begin_flush() else { return Ok(()) };
        drop(self.store.end_flush(flush.run([])?)?);
        Ok(())
    }

    fn fill(&mut self) {
        for _ in 0..4 {
            self.change(150);
            self.flush().expect("a sound disk");
        }
    }

    fn begin_copy(&self) -> Result<(), StoreError> {
        self.engine.shared.begin(&mut self.engine.shared.lock())
    }

    fn step(&self) -> bool {
        self.engine.shared.step().is_some()
    }

    /// Copies all of it; the next flush ends it.
    fn copy_all(&self) {
        self.begin_copy().expect("a sound disk");
        while self.step() {}
        assert!(self.engine.awaits_write());
    }

    fn check(&self) {
        assert_eq!(rows_of(&self.store.view()), self.rows);
    }

    /// As a restart finds it.
    fn reopened(self) -> Self {
        let Bench { disks, mounted, engine, store, rows, .. } = self;
        drop((mounted, store, engine));
        Bench::on(disks, rows, 1)
    }
}

fn rows_of(view: &View) -> Oracle {
    let mut rows = Oracle::new();
    for row in view.scan_prefix(&[1]).expect("a scan") {
        let (key, value) = row.expect("a row");
        rows.insert(key, value);
    }
    rows
}

#[test]
fn what_is_changed_while_it_is_copied_is_in_the_copy() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed);
        bench.fill();
        let mut seen: Vec<(View, Oracle)> = Vec::new();
        let (mut copies, mut amid) = (0, 0);
        for _ in 0..60 {
            if bench.disks.copy().is_none() {
                bench.begin_copy().expect("a sound disk");
            }
            for _ in 0..bench.random.index(8) {
                bench.step();
            }
            let (count, whole) = (1 + bench.random.index(20), bench.engine.awaits_write());
            bench.change(count);
            bench.flush().expect("a sound disk");
            copies += usize::from(whole);
            amid += usize::from(!whole);
            assert_eq!(bench.disks.copy().is_none(), whole, "a flush ends a copy that is whole, and no other");
            bench.check();
            if bench.random.index(6) == 0 {
                seen.push((bench.store.view(), bench.rows.clone()));
            }
        }
        assert!(copies > 3 && amid > 3, "copies {copies}, flushes amid one {amid}");
        for (view, rows) in &seen {
            assert_eq!(rows_of(view), *rows, "a view shows what it showed, whatever took the file's place");
        }
        drop(seen);
        bench.reopened().check();
    }
}

/// Nobody writes any more: the copy takes the place all the same.
#[test]
fn a_copy_that_is_whole_is_due_without_a_round() {
    let mut bench = Bench::new(3);
    bench.fill();
    assert!(bench.store.begin_flush().is_none());
    bench.copy_all();
    bench.flush().expect("a sound disk");
    assert!(bench.disks.copy().is_none() && bench.store.begin_flush().is_none());
    bench.check();
    bench.reopened().check();
}

/// Rounds with a copy, step by step; what was durable, and what may have become so, if the disk ends it.
fn rounds(bench: &mut Bench) -> (Vec<(u64, Oracle)>, bool) {
    let mut states = vec![(bench.store.durable_round(), bench.rows.clone())];
    for round in 0..14 {
        if round == 2 && bench.begin_copy().is_err() {
            return (states, false);
        }
        for _ in 0..3 {
            bench.step();
        }
        bench.change(12);
        states.push((bench.store.applied(), bench.rows.clone()));
        if bench.flush().is_err() {
            return (states, false);
        }
        states.remove(0);
    }
    (states, true)
}

#[test]
fn a_power_cut_at_any_change_of_a_disk_loses_nothing() {
    let (mut cuts, mut copied) = (0, 0);
    loop {
        let unsynced = match cuts % 3 {
            0 => Unsynced::Lost,
            1 => Unsynced::Torn { seed: cuts },
            _ => Unsynced::Kept,
        };
        let mut bench = Bench::new(5);
        bench.fill();
        let (disks, first) = (bench.disks.clone(), bench.disks.store());
        let fuse = Fuse::of(cuts);
        disks.set_fuse(&fuse);
        let (states, done) = rounds(&mut bench);
        let ends = done && fuse.left() > 0;
        if ends {
            assert!(first.bytes_used() > 0 && bench.disks.copy().is_none(), "it was copied, and is in place");
        }
        disks.power_cut(unsynced);
        drop(bench);
        let mut bench = Bench::on(disks, Oracle::new(), 1);
        assert!(bench.disks.copy().is_none(), "what a copy left is removed");
        let round = bench.store.applied();
        let state = states.iter().find(|(of, _)| *of == round);
        let Some((_, rows)) = state else { panic!("cut {cuts}: round {round} of {:?}", states.last().map(|s| s.0)) };
        assert_eq!(rows_of(&bench.store.view()), *rows, "cut {cuts}");
        // And it goes on from there.
        bench.rows = rows.clone();
        bench.copy_all();
        bench.change(10);
        bench.flush().expect("a sound disk");
        copied += 1;
        let bench = bench.reopened();
        bench.check();
        if ends {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 200 && copied > cuts, "{cuts} changes");
}

#[test]
fn a_full_disk_ends_the_copy_and_no_flush() {
    // Amid the copy; in a flush amid it; and in the flush that would end it.
    for (steps, more) in [(2, 3), (2, 0), (usize::MAX, 0)] {
        let mut bench = Bench::new(8);
        bench.fill();
        bench.begin_copy().expect("a sound disk");
        (0..steps).take_while(|_| bench.step()).count();
        let copy = bench.disks.copy().expect("it is being made");
        copy.limit_bytes(Some(copy.bytes_used()));
        for _ in 0..more {
            bench.step();
        }
        let mut flushes = 0;
        while bench.disks.copy().is_some() {
            bench.change(40);
            bench.flush().expect("the store's own disk has room");
            bench.step();
            flushes += 1;
            assert!(flushes < 10, "it is still there");
        }
        assert!(!bench.engine.awaits_write());
        bench.check();
        bench.change(40);
        bench.flush().expect("the store's own disk has room");
        bench.reopened().check();
    }
}

#[test]
fn a_store_that_is_installed_is_not_replaced_by_a_copy_of_the_one_before() {
    let mut bench = Bench::new(9);
    bench.fill();
    bench.copy_all();
    let (view, before) = (bench.store.view(), bench.rows.clone());
    let engine = bench.mounted.make_store(StoreKind::Redb).expect("a sound disk").expect("a store");
    let key = Bytes::from_static(&[1, 9]);
    engine.write(&mut std::iter::once((key.clone(), Some(key.clone()))), true).expect("a sound disk");
    drop(engine);
    bench.mounted.swap_store(StoreKind::Redb, 99).expect("a sound disk");
    assert!(bench.disks.copy().is_none());
    // Whatever is written yet, and whatever somebody begins yet.
    bench.change(10);
    bench.flush().expect("it goes to the store of before");
    let installed = bench.mounted.open_redb().expect("a database");
    assert!(installed.snapshot().expect("a snapshot").get(&key).expect("it reads").is_some());
    assert_eq!(rows_of(&view), before, "what was read is read on");
    drop(bench);
    assert!(installed.snapshot().expect("a snapshot").get(&key).expect("it reads").is_some());
}

/// The directory that the name is in could not be synced: a power cut may bring back the file of before, which must
/// not lack anything that was said to be durable.
#[test]
fn nothing_is_written_once_it_is_not_known_which_file_has_the_name() {
    let mut unknown = 0;
    for changes in 0.. {
        let mut bench = Bench::new(10);
        bench.fill();
        bench.copy_all();
        bench.change(10);
        let first = bench.disks.store();
        bench.disks.set_fuse(&Fuse::of(changes));
        let flushed = bench.flush();
        bench.disks.set_fuse(&Fuse::of(u64::MAX));
        first.set_fuse(None);
        match (flushed, bench.disks.copy()) {
            (Ok(()), None) => break,
            (Err(_), None) => {
                unknown += 1;
                assert!(bench.engine.write(&mut std::iter::empty(), true).is_err(), "after {changes} changes");
            }
            // Its rows are in the file in use, or it failed for another reason.
            (_, Some(_)) => {}
        }
    }
    assert_eq!(unknown, 1, "the directory is synced once");
}

/// As a node is shut down: its file is free at once, and no copy is left.
#[test]
fn it_ends_with_its_store() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    for _ in 0..5 {
        let limits = Limits { file_bytes_min: 1, worth: 2, chunk_bytes: 10_000, sync_bytes: 50_000 };
        let volume =
            Directory::open(directory.path(), crate::storage::CACHE_BYTES).expect("a directory").compacting_at(limits);
        let engine = volume.open_redb().expect("a store");
        let value = Bytes::from(vec![7; 1_000]);
        for chunk in 0..4_u8 {
            let rows = (0..=u8::MAX).map(|row| (Bytes::from(vec![1, row, chunk]), Some(value.clone())));
            engine.write(&mut rows.into_iter(), true).expect("a sound disk");
        }
        engine.shared.begin(&mut engine.shared.lock()).expect("a sound disk");
        assert!(directory.path().join("store.redb.compact").exists());
        engine.start_copier();
        drop(engine);
        assert!(!directory.path().join("store.redb.compact").exists());
    }
}

/// Without anybody's help.
#[test]
fn a_file_that_is_longer_than_worth_is_copied_while_it_is_written() {
    let mut bench = Bench::new(11);
    let limits = Limits { file_bytes_min: 200_000, worth: 2, chunk_bytes: 5_000, sync_bytes: 50_000 };
    bench.fill();
    bench.disks.compact_at(limits);
    let mut bench = bench.reopened();
    let first = bench.disks.store();
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_first = |bench: &Bench| {
        let before = first.syncs();
        bench.engine.write(&mut std::iter::empty(), true).expect("a sound disk");
        first.syncs() > before
    };
    while is_first(&bench) {
        bench.change(10);
        bench.flush().expect("a sound disk");
        bench.check();
        assert!(Instant::now() < deadline, "it is not copied");
    }
    bench.check();
    bench.reopened().check();
}
