//! A node's directory keeps the kind of store that it was made with.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::Netabase;
use crate::network::Identity;
use crate::node::{Assembly, Beginning, Limits, Node, Tuning, Wire};
use crate::schema::Catalog;
#[cfg(feature = "sled")]
use crate::schema::Record as _;
use crate::testing::fixture::Item;
use crate::testing::{Disks, Fabric, Unsynced};

fn item(id: u64) -> Item {
    Item { id, name: format!("name {id}") }
}

async fn start(directory: &TempDir, kind: StoreKind) -> Result<Netabase<Item>> {
    Netabase::<Item>::start().data_dir(directory.path()).store(kind).await
}

fn names(directory: &TempDir) -> BTreeSet<std::ffi::OsString> {
    let entries = fs::read_dir(directory.path()).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name()).collect()
}

/// It is what it says, when it comes to that: nothing is made beside the store that is there.
async fn refused(directory: &TempDir, kind: StoreKind, made_with: &str) {
    let before = names(directory);
    let error = start(directory, kind).await.expect_err("its records are elsewhere");
    let Error::DataDirectory { reason } = &error else { panic!("{error:?}") };
    for told in [format!("`StoreKind::{kind:?}`"), format!("`StoreKind::{made_with}`")] {
        assert!(reason.contains(&told), "{reason}");
    }
    assert_eq!(names(directory), before);
}

#[tokio::test]
async fn a_directory_is_not_opened_with_another_kind_of_store() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    let node = start(&directory, StoreKind::Redb).await?;
    node.put_record(item(1)).await?;
    node.shutdown().await?;
    refused(&directory, StoreKind::Memory, "Redb").await;
    #[cfg(feature = "sled")]
    refused(&directory, StoreKind::Sled, "Redb").await;
    let node = start(&directory, StoreKind::Redb).await?;
    assert_eq!(node.get_record::<Item>(1_u64).await?, Some(item(1)));
    node.shutdown().await
}

/// Its log is whole, so any store can be filled from it.
#[tokio::test]
async fn what_was_kept_in_memory_can_be_kept_on_disk_from_now_on() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    let node = start(&directory, StoreKind::Memory).await?;
    node.put_record(item(1)).await?;
    node.shutdown().await?;
    let node = start(&directory, StoreKind::Redb).await?;
    assert_eq!(node.get_record::<Item>(1_u64).await?, Some(item(1)));
    node.shutdown().await
}

async fn start_on(volume: impl Volume + 'static, identity: Identity) -> Result<Netabase<Item>> {
    let (network, events) = Fabric::new(0).join(identity.peer_id());
    let assembly = Assembly {
        catalog: Catalog::of::<Item>()?,
        identity,
        beginning: Beginning::Alone,
        rebuild: false,
        volume: Arc::new(volume),
        wire: Wire::Joined(network, events),
        store: StoreKind::Redb,
        limits: Limits::default(),
        network_limits: crate::network::NetworkLimits::default(),
        tuning: Tuning::default(),
    };
    Ok(Netabase::of(Node::start(assembly).await?))
}

async fn start_compacting(directory: &TempDir) -> Result<Netabase<Item>> {
    // It is worth it whenever enough was changed.
    let limits = CompactLimits { file_bytes_min: 1 << 20, worth: 0, chunk_bytes: 1 << 20, sync_bytes: 8 << 20 };
    let volume = Directory::open(directory.path(), crate::storage::CACHE_BYTES)?.compacting_at(limits);
    start_on(volume, Identity::load_or_create(directory.path())?).await
}

/// Its log has room, so it goes on: reads, writes, and rounds that are durable there only.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_finds_no_room_waits_for_some() -> Result<()> {
    let disks = Disks::new();
    let keys = TempDir::new().expect("a temporary directory");
    let identity = Identity::load_or_create(keys.path())?;
    let mut records = 0;
    for shut_down_meanwhile in [false, true] {
        let node = start_on(disks.mount(), identity.clone()).await?;
        disks.store().limit_bytes(Some(disks.store().bytes_used()));
        let before = node.status().await?.durable_round;
        // Longer than from one flush to the next.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            node.put_records((records..records + 20).map(item)).await?;
            records += 20;
            assert_eq!(node.count(Item::all()).await?, records);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(node.status().await?.durable_round <= before + 1, "there is no room");
        if shut_down_meanwhile {
            let error = node.shutdown().await.expect_err("the store is behind");
            assert!(error.to_string().contains("full"), "{error}");
            disks.store().limit_bytes(None);
        } else {
            disks.store().limit_bytes(None);
            while node.status().await?.durable_round < node.status().await?.applied_round {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            node.shutdown().await?;
        }
        disks.power_cut(Unsynced::Lost);
    }
    let node = start_on(disks.mount(), identity).await?;
    assert_eq!(node.count(Item::all()).await?, records);
    node.shutdown().await
}

/// The change table has what the records were before, too; in the log is what the store is said to hold.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_writes_on_while_its_store_is_compacted() -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    const RECORDS: u64 = 100;
    const COPIES: usize = 3;
    let directory = TempDir::new().expect("a temporary directory");
    let file = || fs::metadata(directory.path().join(REDB)).expect("it is there").ino();
    let item = |id: u64, pass: u64| Item { id, name: format!("{id} {pass} {}", "n".repeat(2_000)) };
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut pass = 0;
    let mut node = start_compacting(&directory).await?;
    for _ in 0..COPIES {
        let before = file();
        while file() == before {
            pass += 1;
            node.put_records((0..RECORDS).map(move |id| item(id, pass))).await?;
            for id in [0, pass % RECORDS, RECORDS - 1] {
                assert_eq!(node.get_record::<Item>(id).await?, Some(item(id, pass)));
            }
            assert!(Instant::now() < deadline, "its file is the same after {pass} passes");
        }
        node.shutdown().await?;
        node = start_compacting(&directory).await?;
        assert_eq!(node.get_record::<Item>(pass % RECORDS).await?, Some(item(pass % RECORDS, pass)));
    }
    node.shutdown().await?;
    fs::write(directory.path().join(REDB_COMPACT), "half of a copy, as a kill leaves it").expect("a sound disk");
    let node = start(&directory, StoreKind::Redb).await?;
    assert!(!directory.path().join(REDB_COMPACT).exists());
    assert_eq!(node.count(Item::all()).await?, RECORDS);
    for id in 0..RECORDS {
        assert_eq!(node.get_record::<Item>(id).await?, Some(item(id, pass)));
    }
    node.shutdown().await
}

#[cfg(feature = "sled")]
#[tokio::test]
async fn a_node_on_sled_finds_its_records_again() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    for start_number in 0..3 {
        let node = start(&directory, StoreKind::Sled).await?;
        assert_eq!(node.count(Item::all()).await?, start_number * 100);
        node.put_records((start_number * 100..(start_number + 1) * 100).map(item)).await?;
        node.remove_record::<Item>(start_number * 100).await?;
        node.put_record(item(start_number * 100)).await?;
        node.shutdown().await?;
        assert!(directory.path().join(SLED).is_dir());
    }
    refused(&directory, StoreKind::Redb, "Sled").await;
    refused(&directory, StoreKind::Memory, "Sled").await;

    // What the log still has is applied again; what it has not is missed.
    fs::remove_dir_all(directory.path().join(SLED)).expect("it was there");
    match start(&directory, StoreKind::Sled).await {
        Ok(node) => {
            assert_eq!(node.count(Item::all()).await?, 300);
            node.shutdown().await
        }
        Err(Error::DataDirectory { reason }) => {
            assert!(reason.contains("restore the store"), "{reason}");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
