//! Bad input gets a clear error that says what to do, and loses nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use netabase::{Error, Identity, Limits, Netabase, NetabaseSchema, Record, Tuning};
use netabase_tests::Note;
use serde::{Deserialize, Serialize};

/// A directory with one note in it.
async fn used_directory() -> netabase::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let db = Netabase::<Note>::start().data_dir(dir.path()).await?;
    db.put_record(Note::of(1)).await?;
    db.shutdown().await?;
    Ok(dir)
}

/// What starting in this directory says, as text, after checking that it is an error about the directory.
async fn refusal(dir: &Path) -> String {
    match Netabase::<Note>::start().data_dir(dir).await {
        Err(error @ Error::DataDirectory { .. }) => error.to_string(),
        other => panic!("expected an error about the directory, got {other:?}"),
    }
}

/// The note is still there once the cause is gone.
async fn still_there(dir: &Path) {
    let db = Netabase::<Note>::start().data_dir(dir).await.expect("the directory is usable again");
    assert_eq!(db.get_record::<Note>(1).await.expect("reading works"), Some(Note::of(1)));
    db.shutdown().await.expect("it stops in order");
}

#[tokio::test]
async fn a_directory_is_open_once() -> netabase::Result<()> {
    let dir = used_directory().await?;
    let db = Netabase::<Note>::start().data_dir(dir.path()).await?;
    let message = refusal(dir.path()).await;
    assert!(message.contains("another process") && message.contains("stop"), "{message}");
    assert_eq!(db.get_record::<Note>(1).await?, Some(Note::of(1)), "the first one is not disturbed");
    db.shutdown().await?;
    still_there(dir.path()).await;
    Ok(())
}

#[tokio::test]
async fn a_damaged_card_is_damage_not_a_new_directory() -> netabase::Result<()> {
    let dir = used_directory().await?;
    let card = dir.path().join("node");
    let good = fs::read(&card).expect("the card is there");
    let mut bad = good.clone();
    *bad.last_mut().expect("it is not empty") ^= 1;
    fs::write(&card, bad).expect("it can be written");
    let message = refusal(dir.path()).await;
    assert!(message.contains("`node` is damaged") && message.contains("restore"), "{message}");
    fs::remove_file(&card).expect("it can be removed");
    let message = refusal(dir.path()).await;
    assert!(message.contains("`node` is missing"), "{message}");
    fs::write(&card, good).expect("it can be written");
    still_there(dir.path()).await;
    Ok(())
}

#[tokio::test]
async fn a_damaged_store_is_refused() -> netabase::Result<()> {
    let dir = used_directory().await?;
    let store = dir.path().join("store.redb");
    let good = fs::read(&store).expect("the store is there");
    fs::write(&store, b"this is no database").expect("it can be written");
    let message = refusal(dir.path()).await;
    assert!(message.contains("damaged") || message.contains("not written by"), "{message}");
    fs::write(&store, good).expect("it can be written");
    still_there(dir.path()).await;
    Ok(())
}

#[tokio::test]
async fn alone_a_lost_log_is_refused() -> netabase::Result<()> {
    let dir = used_directory().await?;
    let (log, aside) = (dir.path().join("log.redb"), dir.path().join("elsewhere"));
    fs::rename(&log, &aside).expect("it can be moved");
    let message = refusal(dir.path()).await;
    assert!(message.contains("consensus log is gone") && message.contains("backup"), "{message}");
    fs::rename(&aside, &log).expect("it can be moved");
    still_there(dir.path()).await;
    Ok(())
}

#[tokio::test]
async fn another_nodes_directory_is_refused() -> netabase::Result<()> {
    let dir = used_directory().await?;
    let other = Identity::generate();
    let refused = Netabase::<Note>::start().data_dir(dir.path()).identity(other).await;
    assert!(matches!(refused, Err(Error::Configuration { .. } | Error::DataDirectory { .. })), "{refused:?}");
    still_there(dir.path()).await;
    Ok(())
}

/// The same stored name as [`Note`], another shape.
mod changed {
    use super::{Deserialize, NetabaseSchema, Serialize};

    #[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
    pub(super) struct Note {
        #[netabase(key)]
        pub(super) id: u64,
        pub(super) text: String,
    }
}

#[tokio::test]
async fn another_schema_is_refused() -> netabase::Result<()> {
    let dir = used_directory().await?;
    let refused = Netabase::<changed::Note>::start().data_dir(dir.path()).await;
    assert!(matches!(refused, Err(Error::SchemaMismatch { .. })), "{refused:?}");
    still_there(dir.path()).await;
    Ok(())
}

#[tokio::test]
async fn a_used_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port();
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let refused = Netabase::<Note>::start().data_dir(dir.path()).listen(format!("/ip4/127.0.0.1/tcp/{port}")).await;
    match refused {
        Err(Error::Configuration { option: "listen", reason }) => {
            assert!(reason.contains(&port.to_string()), "{reason}")
        }
        other => panic!("expected an error about the address, got {other:?}"),
    }
}

#[tokio::test]
async fn a_record_over_the_limit_is_not_sent() -> netabase::Result<()> {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let limits = Limits::default().record_bytes_max(1000);
    let db = Netabase::<Note>::start().data_dir(dir.path()).limits(limits).await?;
    let large = Note { text: "x".repeat(2000), ..Note::of(1) };
    let refused = db.put_record(large.clone()).await;
    assert!(matches!(&refused, Err(Error::RecordTooLarge { bytes_max: 1000, .. })), "{refused:?}");
    let refused = db.put_records(vec![Note::of(1), Note::of(2), large, Note::of(4)]).await;
    match refused {
        Err(Error::Batch { applied: 2, index: 2, source }) => {
            assert!(matches!(*source, Error::RecordTooLarge { .. }), "{source}");
        }
        other => panic!("expected the third to fail, got {other:?}"),
    }
    assert_eq!(db.count(Note::all()).await?, 2, "those before it are in");
    db.shutdown().await
}

#[tokio::test]
async fn a_founder_list_without_oneself_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let other = Identity::generate().peer_id();
    let refused =
        Netabase::<Note>::start().data_dir(dir.path()).founders([format!("/ip4/127.0.0.1/tcp/4001/p2p/{other}")]).await;
    match refused {
        Err(Error::Configuration { option: "founders", reason }) => assert!(reason.contains("this node"), "{reason}"),
        other => panic!("expected an error about the founders, got {other:?}"),
    }
    let refused = Netabase::<Note>::start().data_dir(dir.path()).founders(["127.0.0.1:4001"]).await;
    assert!(matches!(refused, Err(Error::Configuration { option: "founders", .. })), "{refused:?}");
}

#[tokio::test]
async fn founders_that_differ_are_shown_to_whoever_writes() -> netabase::Result<()> {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a temporary directory can be made")).collect();
    let ports: Vec<_> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
    let mut addresses = Vec::new();
    let mut peers = Vec::new();
    for (dir, port) in dirs.iter().zip(&ports) {
        let peer = Identity::load_or_create(dir.path())?.peer_id();
        addresses.push((format!("/ip4/127.0.0.1/tcp/{}", port.local_addr().expect("bound").port()), peer));
        peers.push(peer.to_string());
    }
    drop(ports);
    let full: Vec<String> = addresses.iter().map(|(address, peer)| format!("{address}/p2p/{peer}")).collect();
    let tuning = Tuning::default().request_timeout(Duration::from_secs(3));
    let start = |node: usize, founders: &[String]| {
        let (address, _) = &addresses[node];
        Netabase::<Note>::start().data_dir(dirs[node].path()).listen(address).founders(founders.to_vec()).tuning(tuning)
    };
    let a = start(0, &full[..2]).await?;
    let b = start(1, &full).await?;
    for db in [&a, &b] {
        match db.put_record(Note::of(1)).await {
            Err(Error::Configuration { option: "founders", reason }) => {
                assert!(reason.contains(&peers[2]), "it shows both lists: {reason}");
            }
            other => panic!("expected the difference, got {other:?}"),
        }
    }
    a.shutdown().await?;
    b.shutdown().await
}
