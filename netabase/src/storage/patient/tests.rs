//! A disk that is full, and has room again.

use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::storage::{Engine, RedbEngine};
use crate::testing::{ForgetfulDisk, Unsynced};

fn rows(fill: u8) -> impl Iterator<Item = (Bytes, Option<Bytes>)> {
    (0..=u8::MAX).map(move |row| (Bytes::from(vec![1, row]), Some(Bytes::from(vec![fill; 300 + usize::from(row)]))))
}

fn patient(waits: bool) -> (ForgetfulDisk, Arc<Patience>, Arc<RedbEngine>) {
    let (disk, patience) = (ForgetfulDisk::new(), Arc::new(Patience::default()));
    let engine = RedbEngine::open_backend(PatientFile::new(disk.clone(), Arc::clone(&patience))).expect("a database");
    engine.write(&mut rows(1), true).expect("there is room");
    patience.set(waits);
    (disk, patience, Arc::new(engine))
}

/// All rows have this value.
fn check(engine: &dyn Engine, fill: u8) {
    let snapshot = engine.snapshot().expect("a snapshot");
    for (key, value) in rows(fill) {
        assert_eq!(snapshot.get(&key).expect("it reads"), value);
    }
}

#[test]
fn what_finds_no_room_is_written_once_there_is_some() {
    for pages in 0..4 {
        let (disk, _, engine) = patient(true);
        // No room at all, or some.
        disk.limit_bytes(Some(disk.bytes_used() + pages * 16_384));
        let writer = std::thread::spawn({
            let engine = Arc::clone(&engine);
            move || engine.write(&mut rows(2), true)
        });
        // What is durable is read meanwhile, from the file and anew.
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(200) {
            check(&*engine, 1);
        }
        assert!(!writer.is_finished(), "it is said to be durable");
        disk.limit_bytes(None);
        writer.join().expect("no panic").expect("there is room again");
        check(&*engine, 2);
        engine.write(&mut rows(3), true).expect("it goes on");
        let disk = disk.power_cut(Unsynced::Lost);
        check(&RedbEngine::open_backend(disk).expect("a database"), 3);
    }
}

#[test]
fn who_is_told_not_to_wait_hears_that_the_disk_is_full() {
    let (disk, patience, engine) = patient(true);
    disk.limit_bytes(Some(disk.bytes_used()));
    let writer = std::thread::spawn({
        let engine = Arc::clone(&engine);
        move || engine.write(&mut rows(2), true)
    });
    check(&*engine, 1);
    patience.set(false);
    let error = writer.join().expect("no panic").expect_err("there is no room");
    assert!(error.to_string().contains("full"), "{error}");
    drop(engine);
    // What was durable is there, and nothing of what was not.
    disk.limit_bytes(None);
    check(&RedbEngine::open_backend(disk.power_cut(Unsynced::Kept)).expect("a database"), 1);

    let (disk, _, engine) = patient(false);
    disk.limit_bytes(Some(disk.bytes_used()));
    assert!(engine.write(&mut rows(2), true).is_err());
}

/// A node that stops right after there is room again does not say that its disk is full.
#[test]
fn who_is_told_not_to_wait_looks_once_more() {
    let (disk, patience, engine) = patient(true);
    disk.limit_bytes(Some(disk.bytes_used()));
    let writer = std::thread::spawn({
        let engine = Arc::clone(&engine);
        move || engine.write(&mut rows(2), true)
    });
    let began = Instant::now();
    while began.elapsed() < TRY_EVERY / 4 {
        check(&*engine, 1);
    }
    disk.limit_bytes(None);
    patience.set(false);
    writer.join().expect("no panic").expect("there is room again");
    check(&*engine, 2);
}

/// Writes of any length over each other, against a file on a disk with room.
#[test]
fn what_is_kept_is_read_before_what_is_in_the_file() {
    let mut random = crate::testing::Random::new(4);
    let (disk, patience) = (ForgetfulDisk::new(), Arc::new(Patience::default()));
    let (file, oracle) = (PatientFile::new(disk.clone(), Arc::clone(&patience)), ForgetfulDisk::new());
    patience.set(true);
    for file in [&file as &dyn StorageBackend, &oracle] {
        file.set_len(50_000).expect("it is longer");
    }
    for step in 0..2_000_u64 {
        match random.index(40) {
            0 => disk.limit_bytes(Some(disk.bytes_used())),
            1 => {
                disk.limit_bytes(None);
                file.sync_data().expect("there is room");
            }
            2 => {
                let len = 30_000 + random.index(30_000) as u64;
                file.set_len(len).expect("another length");
                oracle.set_len(len).expect("another length");
            }
            _ => {
                let bytes = vec![step as u8; 1 + random.index(12_000)];
                let offset = random.index(30_000 - bytes.len()) as u64;
                file.write(offset, &bytes).expect("it is kept");
                oracle.write(offset, &bytes).expect("there is room");
            }
        }
        let len = oracle.len().expect("a length");
        assert_eq!(file.len().expect("a length"), len);
        let from = random.index(30_000);
        let (mut here, mut there) = (vec![0; len as usize - from], vec![0; len as usize - from]);
        file.read(from as u64, &mut here).expect("it reads");
        oracle.read(from as u64, &mut there).expect("it reads");
        assert!(here == there, "step {step}");
    }
}
