//! What the file of a store takes on the disk, against what lives in it, under steady overwriting at random.
//!
//! redb copies each page that a flush changes before it gives the old one free, so what it takes beyond the rows goes by how
//! much of them one flush touches. The file itself is longer: redb doubles it, and what was never written takes nothing.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use crate::storage::archive::Unpacking;
use crate::storage::{RedbEngine, Store, WriteSet};
use crate::testing::ForgetfulDisk;

const ROWS: u64 = 40_000;
const ROW_BYTES: usize = 300;
const LIVE: u64 = ROWS * (ROW_BYTES as u64 + 9);

fn overwrite(store: &mut Store, rows: impl Iterator<Item = u64>, fill: u8) {
    let mut set = WriteSet::default();
    for row in rows {
        let key = Bytes::from([&[1][..], &row.to_be_bytes()].concat());
        // Right for as long as it is filled, which is what is copied.
        set.replace(key, None, Some(Bytes::from(vec![fill; ROW_BYTES])));
    }
    let round = store.applied() + 1;
    let mut draft = store.draft();
    draft.write(set);
    draft.install(round).expect("it reads");
    let flush = store.begin_flush().expect("something to write");
    let done = flush.run([]).expect("it is written");
    drop(store.end_flush(done).expect("it was out"));
}

/// Hundredths of what lives in it.
fn taken(path: &Path) -> u64 {
    std::fs::metadata(path).expect("it is there").blocks() * 512 * 100 / LIVE
}

#[test]
fn a_store_takes_less_than_twice_what_lives_in_it_under_steady_overwriting() {
    let directory = TempDir::new().expect("a directory");
    let filled = directory.path().join("filled.redb");
    let engine = Arc::new(RedbEngine::open_file(&filled).expect("a new file"));
    let mut store = Store::open_with(engine, 0).expect("a new store");
    let mut state = 7_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % ROWS
    };
    for chunk in 0..40 {
        overwrite(&mut store, (0..ROWS).skip(chunk).step_by(40), 1);
    }
    let after_fill = taken(&filled);
    // As a snapshot brings it to another node: in order, from beginning to end.
    let (file, copied) = (ForgetfulDisk::new(), directory.path().join("copied.redb"));
    store.durable_state().pack([0; 16], &file, &|| true).expect("it is written");
    let engine = RedbEngine::open_file(&copied).expect("a new file");
    Unpacking::begin(&file).expect("a header").into_engine(&engine, b"node", &|| true).expect("it is sound");
    let after_copy = taken(&copied);
    let mut store = Store::open_with(Arc::new(engine), 0).expect("a new store");
    for pass in 0..200 {
        overwrite(&mut store, (0..ROWS / 200).map(|_| random()), pass);
    }
    let steady = taken(&copied);
    println!("filled in pieces {after_fill}%, copied {after_copy}%, overwritten a two-hundredth a flush {steady}%");
    assert!(after_copy < 125, "{after_copy}");
    assert!(steady < 200, "{steady}");
}
