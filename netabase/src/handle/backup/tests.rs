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
    Machine::open(Store::open(engine).expect("a store"), catalog, Roster::founded([])).expect("a machine")
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

/// Who joins a restored cluster finds no log that begins at the beginning.
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
