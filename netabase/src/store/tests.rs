//! The store alone: durable when it returns, all or nothing, and never a node's file.

use tempfile::TempDir;

use super::*;
use crate::schema::Record as _;
use crate::testing::fixture::Item;

fn item(id: u64) -> Item {
    Item { id, name: format!("name {id}") }
}

fn at(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("items.redb")
}

fn open(directory: &TempDir) -> Store<Item> {
    Store::open(at(directory), StoreKind::Redb).expect("it opens")
}

#[test]
fn what_was_written_is_there_when_it_is_opened_again() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(&directory);
    assert!(!store.put_record(item(1))?.existed());
    assert!(store.put_record(item(1))?.existed());
    assert!(matches!(store.insert_record(item(1)), Err(Error::AlreadyExists { .. })));
    store.put_records((2..=40_000).map(item))?;
    assert!(store.remove_record::<Item>(2_u64)?.existed());
    assert!(!store.remove_record::<Item>(2_u64)?.existed());
    assert!(matches!(Store::<Item>::open(at(&directory), StoreKind::Redb), Err(Error::DataDirectory { .. })), "locked");
    drop(store);
    let store = open(&directory);
    assert_eq!(store.count(Item::all())?, 39_999);
    assert_eq!(store.get_record::<Item>(40_000_u64)?, Some(item(40_000)));
    assert_eq!(store.query(Item::range(1..4_u64))?, [item(1), item(3)]);
    assert_eq!(store.verify()?.records, 39_999);
    Ok(())
}

#[test]
fn a_transaction_is_all_or_nothing() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(&directory);
    store.put_record(item(1))?;
    let refused = store.transaction(|tx| {
        tx.put_record(item(2))?;
        tx.remove_record::<Item>(1_u64)?;
        assert_eq!(tx.query(Item::all())?, [item(2)]);
        assert_eq!(tx.count(Item::all())?, 1);
        assert!(tx.insert_record(item(2)).is_err(), "it is there");
        assert_eq!(store.query(Item::all())?, [item(1)], "others do not see it yet");
        Err::<(), _>(Error::abort("enough"))
    });
    assert!(matches!(refused, Err(Error::Aborted(_))));
    let panicking = store.clone();
    let panicked = std::thread::spawn(move || {
        panicking.transaction(|tx| {
            tx.put_record(item(3))?;
            if tx.get_record::<Item>(3_u64)?.is_some() {
                panic!("a mistake of the application");
            }
            Ok(())
        })
    });
    assert!(panicked.join().is_err());
    assert_eq!(store.query(Item::all())?, [item(1)]);
    let seen = store.transaction(|tx| {
        tx.insert_record(item(4))?;
        tx.get_record::<Item>(4_u64)
    })?;
    assert_eq!(seen, Some(item(4)));
    drop(store);
    assert_eq!(open(&directory).query(Item::all())?, [item(1), item(4)]);
    Ok(())
}

#[test]
fn a_batch_says_how_far_it_came() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    let store = Store::<Item>::open(at(&directory), StoreKind::Memory)?;
    let too_large = |id| Item { id, name: "x".repeat(RECORD_BYTES_MAX + 1) };
    let error = store.put_records((0..5).map(item).chain((5..6).map(too_large)).chain((6..9).map(item)));
    match error.expect_err("one is too large") {
        Error::Batch { applied: 5, index: 5, source } => assert!(matches!(*source, Error::RecordTooLarge { .. })),
        other => panic!("{other}"),
    }
    assert_eq!(store.count(Item::all())?, 5);
    store.put_records::<Item>([])?;
    Ok(())
}

/// Its rounds come from consensus: a write past it would be undone, or undo others.
#[cfg(feature = "paxos")]
#[tokio::test]
async fn a_node_s_file_is_not_written_by_a_store_alone() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    let node = crate::Netabase::<Item>::start().data_dir(directory.path()).await?;
    node.put_record(item(1)).await?;
    node.shutdown().await?;
    let file = directory.path().join("store.redb");
    assert!(file.exists());
    let error = Store::<Item>::open(&file, StoreKind::Redb).expect_err("it is a node's");
    assert!(error.to_string().contains("start that node"), "{error}");

    let other = TempDir::new().expect("a temporary directory");
    drop(Store::<Item>::open(other.path().join("store.redb"), StoreKind::Redb)?);
    let error = crate::Netabase::<Item>::start().data_dir(other.path()).await.expect_err("it is a store's");
    assert!(error.to_string().contains("Store::open"), "{error}");
    Ok(())
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, crate::NetabaseSchema)]
#[netabase(crate = "crate", ttl = "until")]
struct Login {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    token: String,
    until: Option<u64>,
}

#[test]
fn what_has_expired_is_not_read_and_goes_when_something_is_written() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    let store = Store::<Login>::open(at(&directory), StoreKind::Redb)?;
    let (now_ms, hour_s) = (crate::clock::now_ms(), 3_600);
    let until = |id: u64| id.is_multiple_of(2).then_some(now_ms + 1_000 * hour_s as u64);
    let login = |id: u64| Login { id, token: format!("token {id}"), until: until(id) };
    store.put_records((0..1_000).map(login))?;
    assert_eq!((store.count(Login::all())?, store.verify()?.records), (1_000, 1_000));

    crate::clock::skew_clock_here(2 * hour_s);
    assert_eq!((store.get_record::<Login>(4_u64)?, store.get_record::<Login>(5_u64)?), (None, Some(login(5))));
    assert_eq!(store.query(Login::range(4..8_u64))?, [login(5), login(7)]);
    assert_eq!((store.count(Login::all())?, store.count(Login::by_token(..))?), (500, 500));
    assert_eq!(store.verify()?.records, 1_000, "they are there still");
    drop(store);
    let store = Store::<Login>::open(at(&directory), StoreKind::Redb)?;
    store.transaction(|tx| {
        assert_eq!((tx.get_record::<Login>(4_u64)?, tx.count(Login::all())?), (None, 500));
        tx.insert_record(Login { until: None, ..login(4) })?;
        // One that comes too late is seen by nobody.
        tx.put_record(Login { id: 6, token: "late".into(), until: Some(now_ms) })?;
        assert_eq!(tx.get_record::<Login>(6_u64)?, None);
        tx.insert_record(Login { id: 2_000, token: "token 8".into(), until: None })
    })?;
    assert_eq!(store.verify()?.records, 502);

    // Its clock is set back: what had expired has.
    crate::clock::skew_clock_here(0);
    assert!(!store.put_record(login(10))?.existed());
    assert_eq!((store.get_record::<Login>(10_u64)?, store.count(Login::all())?), (None, 502));
    store.put_record(Login { until: None, ..login(10) })?;
    assert_eq!(store.count(Login::all())?, 503);
    Ok(())
}

/// What a login becomes that is kept for ever.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, crate::NetabaseSchema)]
#[netabase(crate = "crate", name = "login", version = 2, from = Login)]
struct Kept {
    #[netabase(key)]
    id: u64,
}

impl From<Login> for Kept {
    fn from(Login { id, .. }: Login) -> Self {
        Kept { id }
    }
}

/// It was converted before it was removed, and was there again for good.
#[test]
fn what_has_expired_does_not_come_back_in_a_version_that_does_not_expire() -> Result<()> {
    let directory = TempDir::new().expect("a temporary directory");
    let store = Store::<Login>::open(at(&directory), StoreKind::Redb)?;
    let now_ms = crate::clock::now_ms();
    let login = |id: u64, lasts_ms: u64| Login { id, token: format!("token {id}"), until: Some(now_ms + lasts_ms) };
    store.put_records([login(1, 3_600_000), login(2, 36_000_000)])?;
    drop(store);
    crate::clock::skew_clock_here(7_200);
    let store = Store::<Kept>::open(at(&directory), StoreKind::Redb)?;
    assert_eq!(store.query(Kept::all())?, [Kept { id: 2 }]);
    assert_eq!(store.verify()?.records, 1);
    Ok(())
}

/// One put had them removed 256 at a time, each time with a sync of the disk.
#[test]
fn many_that_have_expired_go_with_few_rounds() -> Result<()> {
    let store = Store::<Login>::open("", StoreKind::Memory)?;
    let until = Some(crate::clock::now_ms() + 3_600_000);
    store.put_records((0..5_000).map(|id| Login { id, token: format!("token {id}"), until }))?;
    let before = store.view().applied();
    crate::clock::skew_clock_here(7_200);
    store.put_record(Login { id: 1, token: "token 1".into(), until: None })?;
    assert_eq!((store.verify()?.records, store.view().applied() - before), (1, 2));
    Ok(())
}
