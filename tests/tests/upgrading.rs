//! A cluster of processes goes over to a program with a later version of its record, one node after the other, while it
//! is written to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netabase::store::Store;
use netabase::{Error, Event, Netabase, NetabaseSchema, Role, StoreKind};
use serde::{Deserialize, Serialize};

use tempfile::TempDir;

use netabase_tests::{Failed, LaterNote, Note, Processes, until};

const NODES: usize = 3;
const CALLERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Ids that every node writes from in a part of the test, so that no two write the same.
fn first_id(node: usize, part: u64) -> u64 {
    (node as u64 + 1) << 40 | part << 32
}

fn write(cluster: &mut Processes, node: usize, part: u64) -> Result<(), Failed> {
    cluster.say(node, &format!("write {} {CALLERS}", first_id(node, part)))
}

/// Writes go on for so many more.
fn writes_more(cluster: &Processes, more: usize) {
    let (goal, since) = (cluster.acknowledged_count() + more, Instant::now());
    while cluster.acknowledged_count() < goal {
        assert!(since.elapsed() < PATIENCE, "no writes are acknowledged any more");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn missing(cluster: &mut Processes, node: usize, dir: &Path) -> Result<String, Failed> {
    let ids = dir.join("ids");
    let acknowledged: Vec<String> = cluster.acknowledged().iter().map(ToString::to_string).collect();
    std::fs::write(&ids, acknowledged.join("\n")).map_err(|error| Failed(error.to_string()))?;
    cluster.ask(node, &format!("check {}", ids.display()))
}

#[test]
fn three_processes_go_over_to_a_later_version_one_by_one_under_writes() -> Result<(), Failed> {
    let dir = tempfile::tempdir().map_err(|error| Failed(error.to_string()))?;
    let mut cluster = Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir.path(), NODES)?;
    for node in 0..NODES {
        write(&mut cluster, node, 0)?;
    }
    writes_more(&cluster, 200);

    for node in 0..NODES {
        if node > 0 {
            let told = cluster.ask(0, "records")?;
            assert!(told.contains("newest: 2, active: Some(1)"), "{told}");
            assert!(told.contains(cluster.peer(NODES - 1)), "it says who is missing: {told}");
            // What an index holds that is not there yet is not told.
            let counted = cluster.ask(0, "counted 0")?;
            assert!(counted.contains("the index `bytes` of `note` is still being built"), "{counted}");
        }
        cluster.kill(node)?;
        cluster.set_version(node, 2);
        cluster.restart(node)?;
        write(&mut cluster, node, 1)?;
        writes_more(&cluster, 200);
        if node == 0 {
            // Nothing was written that it would not know: back, and forth again.
            cluster.kill(node)?;
            cluster.set_version(node, 1);
            cluster.restart(node)?;
            write(&mut cluster, node, 2)?;
            writes_more(&cluster, 200);
            cluster.kill(node)?;
            cluster.set_version(node, 2);
            cluster.restart(node)?;
            write(&mut cluster, node, 3)?;
        }
    }
    let since = Instant::now();
    loop {
        let told = cluster.ask(0, "records")?;
        if told.contains("newest: 2, active: Some(2), oldest: Some(2), missing: [], stuck: None") {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "the rows are not converted: {told}");
        std::thread::sleep(Duration::from_millis(20));
    }
    writes_more(&cluster, 200);
    for node in 0..NODES {
        cluster.ask(node, "pause")?;
    }
    cluster.same_hash()?;
    for node in 0..NODES {
        assert_eq!(missing(&mut cluster, node, dir.path())?, "0", "node {node}");
    }
    // Of the ids that are a multiple of 40 the text is empty: the new index has them all, whenever they were written.
    let empty = cluster.acknowledged().iter().filter(|id| **id % 40 == 0).count() as u64;
    let counted: u64 = cluster.ask(1, "counted 0")?.parse().map_err(|_| Failed("no count".into()))?;
    assert!(counted >= empty && empty > 0, "{counted} of {empty}");

    let refused = cluster.join(0);
    let why = refused.err().map_or_else(String::new, |error| error.to_string());
    assert!(
        why.contains("`note` version 2") && why.contains("`note` version 1"),
        "a fourth with the old program: {why}"
    );
    // Nor does one of the three go back now.
    cluster.kill(2)?;
    cluster.set_version(2, 1);
    let why = cluster.restart(2).err().map_or_else(String::new, |error| error.to_string());
    assert!(why.contains("`note` version 2, which is in use"), "going back: {why}");
    cluster.set_version(2, 2);
    cluster.restart(2)?;
    cluster.same_hash()?;
    assert!(cluster.panics().is_empty(), "{:?}", cluster.panics());
    println!(
        "{} acknowledged, none missing; longest stall {:?}",
        cluster.acknowledged_count(),
        cluster.longest_stall()
    );
    Ok(())
}

/// Clients may have the later program before the members do; those with the one of before are refused once it is too old.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_programs_are_served_as_long_as_both_can_read() -> netabase::Result<()> {
    let dir = tempfile::tempdir().expect("a directory");
    let start = || Netabase::<Note>::start().data_dir(dir.path()).listen("/ip4/127.0.0.1/tcp/0");
    let node = start().await?;
    let later = Netabase::<LaterNote>::connect(node.invite(Role::Client).await?).await?;
    later.put_record(LaterNote::from(Note::of(41))).await?;
    assert_eq!(node.get_record::<Note>(41).await?, Some(Note::of(41)), "written as what the member reads");
    assert_eq!(later.get_record::<LaterNote>(41).await?, Some(LaterNote::from(Note::of(41))));
    let refused = later.query(LaterNote::by_bytes(3)).await.expect_err("the member has no such index");
    assert!(!refused.may_have_happened(), "{refused}");
    let records = later.status().await?.records;
    assert_eq!((records[0].newest, records[0].active), (2, Some(1)));
    let (invite, of_before) = (node.invite(Role::Client).await?, node.invite(Role::Client).await?);
    later.shutdown().await?;
    let port = node.status().await?.listen_addresses;
    node.shutdown().await?;

    let listen = port.first().expect("it listened").to_string();
    let node = Netabase::<LaterNote>::start().data_dir(dir.path()).listen(listen).await?;
    let later = Netabase::<LaterNote>::connect(invite).await?;
    later.put_record(LaterNote::from(Note::of(80))).await?;
    until(|| async { later.query(LaterNote::by_bytes(0)).await.is_ok_and(|found| found.len() == 1) }).await;
    let before = Netabase::<Note>::connect(of_before).await.map(drop);
    assert!(matches!(before, Err(Error::SchemaMismatch { .. })), "{before:?}");
    later.shutdown().await?;
    node.shutdown().await
}

/// The directories of a voter and a learner that were stopped, with the program of before, and where the voter listened.
async fn voter_and_learner() -> netabase::Result<(TempDir, TempDir, String)> {
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let voter = Netabase::<Note>::start().data_dir(dir.path()).listen("/ip4/127.0.0.1/tcp/0").await?;
    let learner = Netabase::<Note>::start().data_dir(other.path()).join(voter.invite(Role::Learner).await?).await?;
    until(|| async { voter.status().await.is_ok_and(|status| status.records[0].missing.is_empty()) }).await;
    let listen = voter.status().await?.listen_addresses.first().expect("it listens").to_string();
    voter.shutdown().await?;
    learner.shutdown().await?;
    Ok((dir, other, listen))
}

/// A client that searches an index which is being built is told so, and stays where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_that_an_index_is_being_built() -> netabase::Result<()> {
    let (dir, _learner, listen) = voter_and_learner().await?;
    let voter = Netabase::<LaterNote>::start().data_dir(dir.path()).listen(listen).await?;
    let client = Netabase::<LaterNote>::connect(voter.invite(Role::Client).await?).await?;
    client.put_record(LaterNote::from(Note::of(41))).await?;
    let mut events = client.events();
    for _ in 0..2 {
        let refused = client.query(LaterNote::by_bytes(0)).await.expect_err("not every member reads version 2");
        assert!(matches!(&refused, Error::IndexNotReady { index, .. } if index == "bytes"), "{refused}");
        let refused = client.transaction(async |tx| tx.query(LaterNote::by_bytes(0)).await.map(drop)).await;
        assert!(matches!(&refused, Err(Error::IndexNotReady { .. })), "{refused:?}");
        assert!(matches!(client.count(LaterNote::by_bytes(0)).await, Err(Error::IndexNotReady { .. })));
    }
    let moved = tokio::time::timeout(Duration::from_millis(50), events.next()).await;
    assert!(!matches!(moved, Ok(Some(Event::Disconnected { .. }))), "{moved:?}");
    client.shutdown().await?;
    voter.shutdown().await
}

/// Whoever writes while the version rises is not refused for having heard of it late, however few rows there are to convert.
#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_refused_while_the_version_rises() -> netabase::Result<()> {
    let (dir, other, listen) = voter_and_learner().await?;
    let voter = Netabase::<LaterNote>::start().data_dir(dir.path()).listen(listen).await?;
    let client = Netabase::<LaterNote>::connect(voter.invite(Role::Client).await?).await?;

    let (is_over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing: Vec<_> = (0..CALLERS as u64)
        .map(|caller| (client.clone(), Arc::clone(&is_over), Arc::clone(&written), caller << 32))
        .map(|(client, is_over, written, first)| {
            tokio::spawn(async move {
                let mut id = first;
                while !is_over.load(Ordering::Relaxed) {
                    client.put_record(LaterNote::from(Note::of(first + id % 10))).await?;
                    written.fetch_add(1, Ordering::Relaxed);
                    id += 1;
                }
                Ok::<_, Error>(id - first)
            })
        })
        .collect();
    let learner = Netabase::<LaterNote>::start().data_dir(other.path()).await?;
    until(|| async { voter.status().await.is_ok_and(|status| status.records[0].oldest == Some(2)) }).await;
    let goal = written.load(Ordering::Relaxed) + 200;
    until(|| async { written.load(Ordering::Relaxed) >= goal || writing.iter().any(|caller| caller.is_finished()) })
        .await;
    is_over.store(true, Ordering::Relaxed);
    for written in writing {
        assert!(written.await.expect("no panic")? > 0);
    }
    client.shutdown().await?;
    learner.shutdown().await?;
    voter.shutdown().await
}

/// A later program need not know versions that are not stored any more: who joins with it does not begin where the cluster
/// began, but with what there is now.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_how_the_cluster_began_joins_it() -> netabase::Result<()> {
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(name = "note", version = 2)]
    struct OnlyLaterNote {
        #[netabase(key)]
        id: u64,
        #[netabase(index)]
        writer: String,
        text: String,
        #[netabase(index)]
        bytes: u64,
    }

    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let node = Netabase::<Note>::start().data_dir(dir.path()).await?;
    node.put_records((0..100).map(Note::of)).await?;
    node.shutdown().await?;
    let node = Netabase::<LaterNote>::start().data_dir(dir.path()).listen("/ip4/127.0.0.1/tcp/0").await?;
    until(|| async { node.status().await.is_ok_and(|status| status.records[0].oldest == Some(2)) }).await;
    let invite = node.invite(Role::Voter).await?;
    let joined = Netabase::<OnlyLaterNote>::start().data_dir(other.path()).join(invite).await?;
    let texts = joined.query(OnlyLaterNote::by_bytes(0)).await?.into_iter().map(|note| note.id);
    assert_eq!(texts.collect::<Vec<_>>(), [0, 40, 80]);
    node.put_record(LaterNote::from(Note::of(120))).await?;
    until(|| async { joined.count(OnlyLaterNote::by_bytes(0)).await.is_ok_and(|found| found == 4) }).await;
    joined.shutdown().await?;
    let joined = Netabase::<OnlyLaterNote>::start().data_dir(other.path()).await?;
    joined.linearizable().count(OnlyLaterNote::by_bytes(0)).await.map(|found| assert_eq!(found, 4))?;
    joined.shutdown().await?;
    node.shutdown().await
}

mod town {
    use netabase::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(name = "town")]
    pub(crate) struct Town {
        #[netabase(key)]
        pub(crate) id: u64,
        #[netabase(index)]
        pub(crate) code: String,
        #[netabase(index)]
        pub(crate) country: String,
    }

    /// One index has other keys, the other one is gone.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(name = "town", version = 2, from = Town, into = Town)]
    pub(crate) struct LaterTown {
        #[netabase(key)]
        pub(crate) id: u64,
        #[netabase(index)]
        pub(crate) code: u32,
        pub(crate) country: String,
    }

    impl From<Town> for LaterTown {
        fn from(Town { id, code, country }: Town) -> Self {
            LaterTown { id, code: code.parse().unwrap_or(0), country }
        }
    }

    impl From<LaterTown> for Town {
        fn from(LaterTown { id, code, country }: LaterTown) -> Self {
            Town { id, code: code.to_string(), country }
        }
    }
}

/// Under one name, two versions may have indexes with different keys: a client finds what it looks for, or is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_and_a_member_of_different_programs_mean_the_same_index() -> netabase::Result<()> {
    use town::{LaterTown, Town};

    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let voter = Netabase::<Town>::start().data_dir(dir.path()).listen("/ip4/127.0.0.1/tcp/0").await?;
    let paris = Town { id: 1, code: "75000".into(), country: "France".into() };
    voter.put_record(paris.clone()).await?;
    let later = Netabase::<LaterTown>::connect(voter.invite(Role::Client).await?).await?;
    let found = later.query(LaterTown::by_code(75_000)).await;
    assert!(matches!(found, Err(Error::IndexNotReady { .. })), "a member of before: {found:?}");
    let counted = later.count(LaterTown::by_code(75_000)).await;
    assert!(matches!(counted, Err(Error::IndexNotReady { .. })), "{counted:?}");
    later.shutdown().await?;

    let learner = Netabase::<Town>::start().data_dir(other.path()).join(voter.invite(Role::Learner).await?).await?;
    until(|| async { voter.status().await.is_ok_and(|status| status.records[0].missing.is_empty()) }).await;
    let listen = voter.status().await?.listen_addresses.first().expect("it listens").to_string();
    voter.shutdown().await?;
    learner.shutdown().await?;
    let voter = Netabase::<LaterTown>::start().data_dir(dir.path()).listen(listen).await?;
    let before = Netabase::<Town>::connect(voter.invite(Role::Client).await?).await?;
    assert_eq!(before.query(Town::by_code("75000")).await?, std::slice::from_ref(&paris));
    assert_eq!(before.count(Town::by_country("France")).await?, 1);
    let (_, found) = before.transaction(async |tx| tx.query(Town::by_code("75000")).await).await?;
    assert_eq!(found, [paris]);
    let mut watch = before.watch(Town::by_country("Italy")).await?;
    before.put_record(Town { id: 2, code: "00100".into(), country: "Italy".into() }).await?;
    let change = tokio::time::timeout(PATIENCE, watch.next()).await;
    assert!(matches!(change, Ok(Some(Ok(_)))), "{change:?}");
    before.shutdown().await?;
    voter.shutdown().await
}

/// The only voter starts with the later program while a member that follows has that of before, and goes over once that one
/// has the later program, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_voter_does_not_wait_for_who_follows_it() -> netabase::Result<()> {
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let voter = Netabase::<Note>::start().data_dir(dir.path()).listen("/ip4/127.0.0.1/tcp/0").await?;
    let invite = voter.invite(Role::Learner).await?;
    let learner = Netabase::<Note>::start().data_dir(other.path()).join(invite).await?;
    until(|| async { voter.status().await.is_ok_and(|status| status.records[0].missing.is_empty()) }).await;
    let listen = voter.status().await?.listen_addresses.first().expect("it listens").to_string();
    voter.shutdown().await?;

    let started = Instant::now();
    let voter = Netabase::<LaterNote>::start().data_dir(dir.path()).listen(listen).await?;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    voter.put_record(LaterNote::from(Note::of(41))).await?;
    let records = voter.status().await?.records;
    assert_eq!((records[0].newest, records[0].active, &records[0].missing[..]), (2, Some(1), &[learner.peer_id()][..]));
    until(|| async { learner.get_record::<Note>(41).await.is_ok_and(|note| note == Some(Note::of(41))) }).await;
    learner.shutdown().await?;
    let learner = Netabase::<LaterNote>::start().data_dir(other.path()).await?;
    until(|| async { learner.status().await.is_ok_and(|status| status.records[0].oldest == Some(2)) }).await;
    assert_eq!(learner.get_record::<LaterNote>(41).await?, Some(LaterNote::from(Note::of(41))));
    learner.shutdown().await?;
    voter.shutdown().await
}

#[test]
fn a_store_alone_goes_over_when_it_is_opened() -> netabase::Result<()> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notes.redb");
    let store = Store::<Note>::open(&path, StoreKind::Redb)?;
    store.put_records((0..1_000).map(Note::of))?;
    drop(store);
    for _ in 0..2 {
        let later = Store::<LaterNote>::open(&path, StoreKind::Redb)?;
        assert_eq!(later.query(LaterNote::by_bytes(0))?.len(), 25);
        assert_eq!(later.get_record::<LaterNote>(41)?, Some(LaterNote::from(Note::of(41))));
        assert_eq!(later.verify()?.records, 1_000);
        later.put_record(LaterNote::from(Note::of(7)))?;
    }
    let before = Store::<Note>::open(&path, StoreKind::Redb).map(drop);
    assert!(matches!(before, Err(Error::SchemaMismatch { .. })), "{before:?}");
    Ok(())
}

/// A backup is restored by the program that made it, or by a later one.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_before_is_restored_by_the_later_program() -> netabase::Result<()> {
    let dir = tempfile::tempdir().expect("a directory");
    let (node, backup, restored) = (dir.path().join("node"), dir.path().join("backup"), dir.path().join("restored"));
    let db = Netabase::<Note>::start().data_dir(node).await?;
    db.put_records((0..300).map(Note::of)).await?;
    db.backup(&backup).await?;
    db.shutdown().await?;
    Netabase::<LaterNote>::restore(&backup, &restored).await?;
    let later = Netabase::<LaterNote>::start().data_dir(&restored).await?;
    until(|| async { later.query(LaterNote::by_bytes(0)).await.is_ok_and(|found| found.len() == 8) }).await;
    assert_eq!(later.get_record::<LaterNote>(41).await?, Some(LaterNote::from(Note::of(41))));
    later.shutdown().await
}
