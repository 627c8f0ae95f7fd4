//! What only this engine can get wrong: its snapshots, its scans with a write in the middle, its directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;
use crate::Error;
use crate::storage::layout::ROWS_TABLE;

/// An engine in a directory of its own, which is removed with it.
#[derive(Debug)]
pub(in crate::storage) struct Scratch {
    engine: SledEngine,
    _directory: TempDir,
}

impl Scratch {
    pub(in crate::storage) fn new() -> Scratch {
        let directory = TempDir::new().expect("a temporary directory");
        Scratch { engine: open(&directory).expect("a new store"), _directory: directory }
    }
}

impl Engine for Scratch {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.engine.snapshot()
    }

    fn write(&self, rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>, sync: bool) -> Result<(), StoreError> {
        self.engine.write(rows, sync)
    }
}

fn open(directory: &TempDir) -> Result<SledEngine, StoreError> {
    SledEngine::open_directory(&directory.path().join("store.sled"))
}

type Row = (Bytes, Bytes);

fn key(number: u16) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

fn write(engine: &dyn Engine, rows: impl IntoIterator<Item = (u16, Option<u8>)>) {
    let mut rows =
        rows.into_iter().map(|(number, value)| (key(number), value.map(|value| Bytes::from(vec![value; 40]))));
    engine.write(&mut rows, true).expect("the engine takes the rows");
}

fn rows(snapshot: &dyn Snapshot, reverse: bool) -> Vec<Row> {
    let rows = snapshot.scan(Bound::Unbounded, Bound::Unbounded, reverse).expect("a scan");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// Changes, removes and adds everywhere, in a way of its own for each `step`.
fn mixed(step: u16) -> impl Iterator<Item = (u16, Option<u8>)> {
    (0..600_u16).filter(move |number| (number * 7 + step).is_multiple_of(3)).map(move |number| {
        let value = u8::try_from((number + step) % 251).expect("below 251");
        (number, (!(number + step).is_multiple_of(4)).then_some(value))
    })
}

#[test]
fn snapshots_of_every_age_stay_as_they_were() {
    let engine = Scratch::new();
    let mut snapshots = Vec::new();
    for step in 0..12 {
        write(&engine, mixed(step));
        let snapshot = engine.snapshot().expect("a snapshot");
        let now = rows(&*snapshot, false);
        snapshots.push((snapshot, now));
        // From the middle and from both ends, so that moments go in every order.
        if step % 3 == 2 {
            snapshots.remove(snapshots.len() / 2);
        }
        for (snapshot, expected) in &snapshots {
            assert_eq!(rows(&**snapshot, false), *expected);
            let mut backwards = rows(&**snapshot, true);
            backwards.reverse();
            assert_eq!(backwards, *expected);
            for number in 0..600 {
                let expected = expected.binary_search_by(|row| row.0.cmp(&key(number))).ok().map(|at| &expected[at].1);
                assert_eq!(snapshot.get(&key(number)).expect("a get").as_ref(), expected);
            }
        }
    }
}

/// At every place of the scan, several writes; sled's own iterator sees all or part of them.
#[test]
fn a_scan_with_writes_in_the_middle_shows_none_of_them() {
    for reverse in [false, true] {
        for pause in [0, 1, 2, 50, 199, 200] {
            let engine = Scratch::new();
            write(&engine, (0..400).step_by(2).map(|number| (number, Some(1))));
            let snapshot = engine.snapshot().expect("a snapshot");
            let expected = rows(&*snapshot, reverse);
            let mut scan = snapshot.scan(Bound::Unbounded, Bound::Unbounded, reverse).expect("a scan");
            let mut found: Vec<Row> = scan.by_ref().take(pause).map(|row| row.expect("a row")).collect();
            for step in 0..4 {
                write(&engine, mixed(step));
            }
            found.extend(scan.by_ref().take(20).map(|row| row.expect("a row")));
            write(&engine, (0..600).map(|number| (number, None)));
            found.extend(scan.map(|row| row.expect("a row")));
            assert_eq!(found, expected, "reverse {reverse}, paused at {pause}");
        }
    }
}

/// Readers on threads of their own, while a writer moves one unit from row to row: the sum never changes.
#[test]
fn readers_see_no_half_of_a_batch() {
    let engine = Scratch::new();
    write(&engine, (0..64).map(|number| (number, Some(u8::from(number == 0)))));
    let (engine, done) = (&engine, &AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for turn in 0..300_u16 {
                write_unsynced(engine, [(turn % 64, Some(0)), ((turn + 1) % 64, Some(1))]);
            }
            done.store(true, Ordering::Relaxed);
        });
        for reverse in [false, true] {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let snapshot = engine.snapshot().expect("a snapshot");
                    let ones = rows(&*snapshot, reverse).iter().filter(|row| row.1[0] == 1).count();
                    assert_eq!(ones, 1);
                    let got =
                        (0..64).filter(|number| snapshot.get(&key(*number)).expect("a get").expect("a row")[0] == 1);
                    assert_eq!(got.count(), 1);
                }
            });
        }
    });
}

fn write_unsynced(engine: &dyn Engine, rows: impl IntoIterator<Item = (u16, Option<u8>)>) {
    let mut rows = rows.into_iter().map(|(number, value)| (key(number), value.map(|value| Bytes::from(vec![value]))));
    engine.write(&mut rows, false).expect("the engine takes the rows");
}

/// The undo rows of a write go with the last snapshot from before it.
#[test]
fn undo_rows_live_as_long_as_a_snapshot_needs_them() {
    let engine = Scratch::new();
    let old = engine.snapshot().expect("a snapshot");
    let moment = Arc::downgrade(&engine.engine.now());
    for turn in 0..20_000 {
        write_unsynced(&engine, [(turn % 10, Some(1))]);
    }
    assert!(moment.upgrade().is_some_and(|moment| moment.get(&key(0)) == Some(&None)));
    assert_eq!(rows(&*old, false), []);
    // Twenty thousand moments, one after the other.
    drop(old);
    assert!(moment.upgrade().is_none());
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut expected = Vec::new();
    for step in 0..8 {
        let engine = open(&directory).expect("it opens");
        assert_eq!(rows(&*engine.snapshot().expect("a snapshot"), false), expected);
        write(&engine, mixed(step));
        // Larger than a page of sled's: it goes into a file of its own.
        let large = (key(1_000), Some(Bytes::from(vec![u8::try_from(step).expect("small"); 700_000])));
        engine.write(&mut std::iter::once(large), true).expect("a write");
        expected = rows(&*engine.snapshot().expect("a snapshot"), false);
    }
}

#[test]
fn a_directory_open_elsewhere_says_so() {
    let directory = TempDir::new().expect("a temporary directory");
    let first = open(&directory).expect("a new store");
    assert!(matches!(open(&directory), Err(StoreError::Locked)));
    // A snapshot needs the store as well.
    let snapshot = first.snapshot().expect("a snapshot");
    drop(first);
    assert!(matches!(open(&directory), Err(StoreError::Locked)));
    drop(snapshot);
    open(&directory).expect("nobody has it open");
}

#[test]
fn what_a_kill_during_creation_leaves_is_made_anew() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = directory.path().join("store.sled");
    std::fs::create_dir_all(store.join("rows.unfinished")).expect("a directory");
    std::fs::write(store.join("lock"), "").expect("a file");
    std::fs::write(store.join("rows.unfinished/db"), [7; 3_000]).expect("a file");
    write(&open(&directory).expect("a new store"), mixed(0));
    assert!(!store.join("rows.unfinished").exists());
}

#[test]
fn what_is_no_sled_store_is_left_alone() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("store.redb");
    std::fs::write(&file, "a file").expect("a file");
    for path in [file.as_path(), directory.path()] {
        let error = SledEngine::open_directory(path).expect_err("it is foreign");
        assert!(matches!(error, StoreError::Foreign(_)), "{error:?}");
        assert!(matches!(error.into(), Error::DataDirectory { .. }));
    }
    assert_eq!(std::fs::read(&file).expect("still there"), b"a file");
    assert_eq!(std::fs::read_dir(directory.path()).expect("still there").count(), 1);
}

/// sled takes a file that it cannot read for an empty one.
#[test]
fn a_database_that_lost_everything_is_not_taken_for_a_new_one() {
    let directory = TempDir::new().expect("a temporary directory");
    write(&open(&directory).expect("a new store"), mixed(0));
    let rows = directory.path().join("store.sled/rows");
    std::fs::write(rows.join("db"), "").expect("a file");
    for entry in std::fs::read_dir(&rows).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            std::fs::remove_file(entry.path()).expect("a snapshot of sled's");
        }
    }
    let error = open(&directory).expect_err("its rows are gone");
    assert!(matches!(&error, StoreError::Damaged(what) if what.contains(ROWS_TABLE)), "{error:?}");
}

/// Bytes turned round and files cut off, everywhere. sled refuses, or goes back to an earlier write without a word; it
/// never shows a part of one, and nothing panics.
#[test]
fn a_damaged_database_is_refused_or_older_and_never_panics() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut written = vec![Vec::new()];
    for step in 0..3 {
        let engine = open(&directory).expect("it opens");
        write(&engine, mixed(step));
        written.push(rows(&*engine.snapshot().expect("a snapshot"), false));
    }
    let folder = directory.path().join("store.sled/rows");
    let whole = files(&folder);
    let log = folder.join("db");
    let used = whole[&log].iter().rposition(|byte| *byte != 0).expect("it has rows");
    let flips = (0..used).step_by(used / 60 + 1).map(|at| {
        let mut file = whole[&log].clone();
        file[at] ^= 0xff;
        file
    });
    let cuts = (0..used).step_by(used / 20 + 1).map(|length| whole[&log][..length].to_vec());
    let (mut refused, mut older) = (0, 0);
    for damaged in flips.chain(cuts) {
        for path in files(&folder).keys() {
            std::fs::remove_file(path).expect("a file");
        }
        for (path, content) in &whole {
            std::fs::write(path, content).expect("a file");
        }
        std::fs::write(&log, damaged).expect("a file");
        let found: Result<Vec<Row>, _> = open(&directory).and_then(|engine| {
            let snapshot = engine.snapshot()?;
            snapshot.scan(Bound::Unbounded, Bound::Unbounded, false)?.collect()
        });
        match found {
            Ok(found) => {
                assert!(written.contains(&found), "{} rows, as of no write", found.len());
                older += usize::from(found != written[3]);
            }
            Err(_) => refused += 1,
        }
    }
    println!("{refused} refused, {older} older");
    assert!(refused + older > 0);
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = std::fs::read_dir(folder).expect("a directory").map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
}
