//! What the file of a store takes under steady overwriting, against what lives in it.

use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use crate::storage::{RedbEngine, Store, WriteSet};

const ROWS: u64 = 20_000;
const ROW_BYTES: usize = 300;

fn write(store: &mut Store, rows: impl Iterator<Item = u64>, fill: u8) {
    let mut set = WriteSet::default();
    for row in rows {
        set.put(Bytes::from([&[1][..], &row.to_be_bytes()].concat()), Bytes::from(vec![fill; ROW_BYTES]));
    }
    let round = store.applied() + 1;
    let mut draft = store.draft();
    draft.write(set);
    draft.install(round).expect("it reads");
    let flush = store.begin_flush().expect("something to write");
    let done = flush.run([]).expect("it is written");
    drop(store.end_flush(done).expect("it was out"));
}

#[test]
fn growth() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store.redb");
    let engine = Arc::new(RedbEngine::open_file(&path).expect("a new file"));
    let mut store = Store::open_with(engine, 0).expect("a new store");
    let mut random = 7_u64;
    let mut below = move |count: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % count
    };
    let live = ROWS * (ROW_BYTES as u64 + 9);
    let size = || std::fs::metadata(&path).expect("it is there").len();
    for chunk in 0..20 {
        write(&mut store, (0..ROWS).filter(|row| row % 20 == chunk), 1);
    }
    println!("filled: {:.2} of {} KiB", size() as f64 / live as f64, live >> 10);
    for pass in 0..60 {
        let rows: Vec<u64> = (0..ROWS / 10).map(|_| below(ROWS)).collect();
        write(&mut store, rows.into_iter(), pass);
        if pass % 10 == 9 {
            println!("after {} passes: {:.2}", pass + 1, size() as f64 / live as f64);
        }
    }
    drop(store);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut db = redb::Builder::new().create_with_backend(redb::backends::FileBackend::new(file).unwrap()).unwrap();
    let began = std::time::Instant::now();
    println!("compacted: {:?}", db.compact());
    drop(db);
    println!("compacted: {:.2} in {:?}", size() as f64 / live as f64, began.elapsed());
}
