use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::machine::{Machine, Roster};
use crate::storage::archive::Unpacking;
use crate::storage::{Engine, MemoryEngine, Store, StoreKind, file_backend};
use crate::testing::Cluster;
use crate::testing::fixture::Item;

fn item(id: u64) -> Item {
    Item { id, name: format!("name {id}") }
}

/// The state hash of what a backup holds.
fn hash_of(path: &Path) -> crate::machine::StateHash {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("it is there");
    let engine = MemoryEngine::default();
    Unpacking::begin(&file_backend(file).expect("nobody has it open"))
        .and_then(|rows| rows.into_engine(&engine, b"node", &|| true))
        .expect("it is sound");
    machine(Arc::new(engine)).state_hash().expect("it reads")
}

fn machine(engine: Arc<dyn Engine>) -> Machine {
    let catalog = Catalog::of::<Item>().expect("a schema");
    let founders = Roster::founded([], catalog.newest());
    Machine::open(Store::open(engine).expect("a store"), catalog, founders).expect("a machine")
}

/// The oracle: the entries of the log, applied anew up to the backup's round.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_while_writes_go_on_is_the_state_of_its_round() {
    let directory = TempDir::new().expect("a directory");
    let cluster = Cluster::<Item>::start(1).await.expect("it starts");
    let db = cluster.node(0);
    db.put_record(item(0)).await.expect("it is taken");
    let writer = {
        let db = cluster.node(0);
        tokio::spawn(async move {
            for id in 1..400 {
                db.put_record(item(id % 150)).await.expect("it is taken");
            }
        })
    };
    let path = directory.path().join("a.backup");
    let mut receipt = db.put_record(item(1_000)).await.expect("it is taken");
    let backup = db.backup(&path).await.expect("it is written");
    assert!(Some(backup.round) >= receipt.round(), "it holds what was acknowledged before");
    writer.await.expect("it writes");
    receipt = db.put_record(item(1_001)).await.expect("it is taken");
    assert!(receipt.round() > Some(backup.round));

    let mut again = machine(Arc::new(MemoryEngine::default()));
    let log = cluster.replica(0).log();
    let rows = log.read_chosen(1, usize::MAX).expect("it reads");
    for row in rows.iter().take_while(|row| row.round <= backup.round) {
        again.apply(row.round, &row.entry).expect("it reads");
    }
    assert_eq!(again.applied(), backup.round);
    assert_eq!(hash_of(&path), again.state_hash().expect("it reads"));
    drop(log);

    let refused = db.backup(&path).await;
    assert!(matches!(refused, Err(Error::Configuration { option: "backup", .. })), "{refused:?}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 1, "nothing is left behind");
    cluster.shutdown().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_directory_is_a_cluster_of_its_own_with_the_same_records() {
    let directory = TempDir::new().expect("a directory");
    let (old, new, path) =
        (directory.path().join("old"), directory.path().join("new"), directory.path().join("backup"));
    let db = Netabase::<Item>::start().data_dir(&old).await.expect("it starts");
    for id in 0..50 {
        db.put_record(item(id)).await.expect("it is taken");
    }
    db.request_id([7; 16]).put_record(item(100)).await.expect("it is taken");
    let backup = db.backup(&path).await.expect("it is written");
    let known = db.status().await.expect("it runs");
    db.shutdown().await.expect("it stops");

    Netabase::<Item>::restore(&path, &new).await.expect("it is sound");
    let taken = Netabase::<Item>::restore(&path, &new).await;
    assert!(matches!(taken, Err(Error::Configuration { option: "data_dir", .. })), "{taken:?}");
    for start in 0..2 {
        let db = Netabase::<Item>::start().data_dir(&new).await.expect("it starts");
        let status = db.status().await.expect("it runs");
        assert!(status.peer_id != known.peer_id && status.applied_round >= backup.round);
        assert_eq!(db.count(<Item as crate::schema::Record>::all()).await.expect("it reads"), 51 + start);
        let again = db.request_id([7; 16]).put_record(item(200)).await.expect("it is known");
        assert!(again.round() <= Some(backup.round), "a named call is done once");
        assert_eq!(db.get_record::<Item>(200_u64).await.expect("it reads"), None);
        db.put_record(item(1_000 + start)).await.expect("it is taken");
        db.shutdown().await.expect("it stops");
    }
}

/// The hash of the state up to the backup's round, without what a new cluster does not take over: of the log, applied anew.
fn expected(log: &crate::consensus::Log, round: u64) -> crate::machine::StateHash {
    let mut replayed = machine(Arc::new(MemoryEngine::default()));
    for row in log.read_chosen(1, usize::MAX).expect("it reads").iter().take_while(|row| row.round <= round) {
        replayed.apply(row.round, &row.entry).expect("it reads");
    }
    assert_eq!(replayed.applied(), round);
    let done = replayed.begin_flush().expect("rows").run().expect("memory takes them");
    drop(replayed.end_flush(done).expect("it was out"));
    let (file, engine) = (crate::testing::ForgetfulDisk::new(), MemoryEngine::default());
    replayed.durable_state().pack([0; 16], &file, &|| true).expect("memory takes it");
    let rows = Unpacking::begin(&file).expect("a header");
    let left_out = &[crate::storage::layout::SPACE_SESSION, crate::storage::layout::SPACE_ROSTER];
    rows.leaving_out(left_out).into_engine(&engine, b"node", &|| true).expect("it is sound");
    machine(Arc::new(engine)).state_hash().expect("it reads")
}

/// Everybody writes as fast as it goes, on all three nodes, while one of them is backed up.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_full_load_restores_to_the_state_of_its_round() {
    /// The log keeps so many at least, from the first on.
    const ROUNDS_MAX: u64 = 900;
    let directory = TempDir::new().expect("a directory");
    let (path, new) = (directory.path().join("a.backup"), directory.path().join("new"));
    let mut cluster = Cluster::<Item>::start(3).await.expect("it starts");
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..24_u64 {
        let (db, done) = (cluster.node(writer as usize % 3), Arc::clone(&done));
        writers.spawn(async move {
            let mut count = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let receipt = db.put_record(item((writer * 7 + count * 11) % 400)).await.expect("it is taken");
                count += 1;
                if receipt.round() > Some(ROUNDS_MAX) {
                    break;
                }
            }
            count
        });
    }
    let mut applied = cluster.replica(0).follow();
    applied.wait_for(|applied| *applied > 100).await.expect("rounds are applied");
    let backup = cluster.node(1).backup(&path).await.expect("it is written");
    done.store(true, Ordering::Relaxed);
    let written: u64 = writers.join_all().await.into_iter().sum();
    println!("{written} writes, the backup is of round {}", backup.round);
    let expected = expected(&cluster.replica(0).log(), backup.round);

    Netabase::<Item>::restore(&path, &new).await.expect("it is sound");
    let store = crate::storage::RedbEngine::open_file(&new.join("store.redb")).expect("its store");
    let restored = machine(Arc::new(store));
    assert_eq!((restored.applied(), restored.state_hash().expect("it reads")), (backup.round, expected));
    drop(restored);
    cluster.crash(0).await;
    // It goes on from there, as a cluster of its own.
    let db = Netabase::<Item>::start().data_dir(&new).await.expect("it starts");
    let receipt = db.put_record(item(1_000)).await.expect("it is taken");
    assert!(receipt.round() > Some(backup.round));
    db.shutdown().await.expect("it stops");
    cluster.shutdown().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_not_restored() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("backup");
    let db = Netabase::<Item>::start().data_dir(directory.path().join("old")).store(StoreKind::Memory).await;
    let db = db.expect("it starts");
    db.put_record(item(1)).await.expect("it is taken");
    db.backup(&path).await.expect("it is written");
    db.shutdown().await.expect("it stops");
    let mut bytes = std::fs::read(&path).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("it is written");
    let damaged = Netabase::<Item>::restore(&path, directory.path().join("new")).await;
    assert!(matches!(damaged, Err(Error::Storage { .. })), "{damaged:?}");
    assert!(!directory.path().join("new").exists(), "half of it is left");
}
