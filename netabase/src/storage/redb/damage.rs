//! What a bad directory, a bad file and a bad disk look like to the one who opens them.

use std::fs;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::InMemoryBackend;
use tempfile::TempDir;

use super::*;
use crate::Error;

fn scratch() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("store.redb");
    (directory, path)
}

fn fill(engine: &RedbEngine) {
    let mut rows = (0..2_000_u32).map(|n| (Bytes::copy_from_slice(&n.to_be_bytes()), Some(Bytes::from(vec![7; 64]))));
    engine.write(&mut rows, true).expect("a write");
}

#[test]
fn a_directory_open_elsewhere_says_so() {
    let (_directory, path) = scratch();
    let _open = RedbEngine::open_file(&path).expect("a new file");
    let error = RedbEngine::open_file(&path).expect_err("it is locked");
    assert!(matches!(error, StoreError::Locked), "{error:?}");
    let Error::DataDirectory { reason } = error.into() else { panic!("not about the directory") };
    assert!(reason.contains("another process has this directory open"), "{reason}");
}

/// redb writes its magic number last, and once refused, for ever, what a kill during creation had left.
#[test]
fn what_a_kill_during_creation_leaves_is_made_anew() {
    let (_directory, path) = scratch();
    fs::write(unfinished_path(&path), vec![0; 10_000]).expect("a file");
    fill(&RedbEngine::open_file(&path).expect("a new file"));
    assert!(!unfinished_path(&path).exists());
    let engine = RedbEngine::open_file(&path).expect("the same file");
    let row = engine.snapshot().expect("a snapshot").get(&7_u32.to_be_bytes()).expect("a get");
    assert_eq!(row, Some(Bytes::from(vec![7; 64])));
}

/// Two that start at once in one new directory: the second finds the first's file, and leaves it alone.
#[test]
fn a_directory_being_made_elsewhere_is_locked() {
    let (_directory, path) = scratch();
    let making = File::create(unfinished_path(&path)).expect("a file");
    making.lock().expect("nobody else has it");
    assert!(matches!(RedbEngine::open_file(&path), Err(StoreError::Locked)));
}

#[test]
fn a_foreign_file_says_so() {
    let (_directory, path) = scratch();
    fs::write(&path, "not a database, but longer than a magic number").expect("a file");
    let error = RedbEngine::open_file(&path).expect_err("it is foreign");
    assert!(matches!(error, StoreError::Foreign(_)), "{error:?}");
    assert!(matches!(error.into(), Error::DataDirectory { .. }));
    assert_eq!(fs::read(&path).expect("still there").len(), 46, "a foreign file must not be touched");
}

#[test]
fn a_redb_file_of_another_program_says_so() {
    let (_directory, path) = scratch();
    let database = Database::create(&path).expect("a file");
    let writing = database.begin_write().expect("a transaction");
    writing.open_table(TableDefinition::<u64, u64>::new("theirs")).expect("a table");
    writing.commit().expect("a commit");
    drop(database);
    let error = RedbEngine::open_file(&path).expect_err("it is foreign");
    assert!(matches!(error, StoreError::Foreign(_)), "{error:?}");
}

/// Every byte of the header and samples of the rest, turned round; and the file cut at many lengths. Some of
/// these make redb panic, in its checks or by an index out of bounds.
#[test]
fn a_damaged_file_never_panics() {
    let (_directory, path) = scratch();
    fill(&RedbEngine::open_file(&path).expect("a new file"));
    let whole = fs::read(&path).expect("the file");
    let flips = (0..512).chain((512..whole.len()).step_by(1_543));
    let cuts = (0..whole.len()).step_by(whole.len() / 40);
    let flipped = flips.map(|at| {
        let mut file = whole.clone();
        file[at] ^= 0xff;
        file
    });
    let (mut refused, mut opened) = (0, 0);
    for file in flipped.chain(cuts.map(|length| whole[..length].to_vec())) {
        let backend = InMemoryBackend::new();
        backend.set_len(file.len() as u64).expect("memory");
        backend.write(0, &file).expect("memory");
        match read_all(backend) {
            Ok(_) => opened += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20 && opened > 20, "{refused} refused, {opened} opened");
}

fn read_all(backend: InMemoryBackend) -> Result<usize, StoreError> {
    let engine = RedbEngine::open_backend(backend)?;
    let snapshot = engine.snapshot()?;
    let mut rows = 0;
    for row in snapshot.scan(Bound::Unbounded, Bound::Unbounded, false)? {
        row?;
        rows += 1;
    }
    Ok(rows)
}

/// A disk that fills up.
#[derive(Debug)]
struct FullDisk {
    file: InMemoryBackend,
    writes_left: AtomicU64,
}

impl StorageBackend for FullDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let left = self.writes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
        self.file.write(offset, data)
    }
}

#[test]
fn a_full_disk_says_so_and_what_was_written_stays_readable() {
    let disk = FullDisk { file: InMemoryBackend::new(), writes_left: AtomicU64::new(500) };
    let engine = RedbEngine::open_backend(disk).expect("room enough");
    let write = |key: u32| {
        let row = (Bytes::copy_from_slice(&key.to_be_bytes()), Some(Bytes::from(vec![1; 500])));
        engine.write(&mut std::iter::once(row), true)
    };
    let written = (0..).take_while(|key| write(*key).is_ok()).count();
    assert!(written > 3, "{written}");
    let error = write(u32::MAX).expect_err("redb takes no more after a failed write");
    assert!(matches!(error.into(), Error::Storage { .. }));
    let snapshot = engine.snapshot().expect("reads go on");
    let rows = snapshot.scan(Bound::Unbounded, Bound::Unbounded, false).expect("a scan");
    assert_eq!(rows.filter(Result::is_ok).count(), written);
}

#[test]
fn advice_follows_the_failure() {
    let says = |kind: io::ErrorKind, advice: &str| {
        let Error::Storage { reason, source } = from_redb(redb::Error::Io(kind.into())).into() else {
            panic!("not a storage error")
        };
        assert!(reason.contains(advice) && source.is_some(), "{reason}");
    };
    says(io::ErrorKind::StorageFull, "free some space");
    says(io::ErrorKind::PermissionDenied, "owner and the mode");
    says(io::ErrorKind::Other, "check it and the system log");
    let error = Error::from(from_redb(redb::Error::Corrupted("a page".into())));
    assert!(error.to_string().contains("restore a backup"), "{error}");
}
