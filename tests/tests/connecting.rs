//! Clients over real sockets: let in by an invite, known by their key, moving from member to member.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use netabase::{Error, Identity, Netabase, NetabaseSchema, Record as _, Role};
use netabase_tests::Note;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

fn note(id: u64) -> Note {
    Note { id, writer: "one".into(), text: format!("text {id}") }
}

fn address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    format!("/ip4/127.0.0.1/tcp/{}", free.port())
}

async fn founded(directory: &Path) -> netabase::Result<Netabase<Note>> {
    Netabase::<Note>::start().data_dir(directory).listen(address()).await
}

fn refused<T: std::fmt::Debug>(result: netabase::Result<T>) -> String {
    match result {
        Err(Error::InvalidInvite { reason }) => reason,
        other => panic!("not an invalid invite: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_lets_one_client_in_and_its_key_brings_it_back() -> netabase::Result<()> {
    let directory = TempDir::new().expect("a directory");
    let db = founded(&directory.path().join("a")).await?;
    db.put_record(note(1)).await?;
    let (invite, key) = (db.invite(Role::Client).await?, directory.path().join("keys/app.key"));
    let app = Netabase::<Note>::connect(invite.to_string().parse()?).identity_file(&key).await?;
    assert_eq!(app.get_record::<Note>(1).await?, Some(note(1)));
    app.put_record(note(2)).await?;
    assert_eq!(app.status().await?.role, Role::Client);
    assert!(matches!(app.invite(Role::Reader).await, Err(Error::NotAuthorized { .. })), "only members invite");
    let known = app.peer_id();
    app.shutdown().await?;

    let again = Netabase::<Note>::connect(invite.clone()).identity_file(&key).await?;
    assert_eq!(again.peer_id(), known);
    assert_eq!(again.query(Note::all()).await?.len(), 2);
    refused(Netabase::<Note>::connect(invite.clone()).await);
    let twice = Netabase::<Note>::connect(invite.clone()).identity_file(&key).identity(Identity::generate()).await;
    assert!(matches!(twice, Err(Error::Configuration { option: "identity", .. })), "{twice:?}");
    let voter = refused(Netabase::<Note>::connect(db.invite(Role::Voter).await?).await);
    assert!(voter.contains("client"), "{voter}");

    let reader = Netabase::<Note>::connect(db.invite(Role::Reader).await?).await?;
    assert_eq!(reader.get_record::<Note>(2).await?, Some(note(2)));
    assert!(matches!(reader.put_record(note(3)).await, Err(Error::NotAuthorized { .. })));

    // Sent away, it is served no longer.
    db.remove_member(known).await?;
    let removed = async {
        loop {
            match again.get_record::<Note>(1).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    let removed = tokio::time::timeout(Duration::from_secs(5), removed).await.expect("it is told");
    assert!(matches!(removed, Error::Removed), "{removed}");
    assert!(matches!(again.put_record(note(4)).await, Err(Error::Removed)));
    assert!(matches!(again.transaction(async |_| Ok(())).await, Err(Error::Removed)));
    again.shutdown().await?;
    reader.shutdown().await?;
    db.shutdown().await
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "note")]
struct OtherNote {
    #[netabase(key)]
    id: u64,
    text: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_is_told_so() -> netabase::Result<()> {
    let directory = TempDir::new().expect("a directory");
    let db = founded(directory.path()).await?;
    let other = Netabase::<OtherNote>::connect(db.invite(Role::Client).await?).await;
    assert!(matches!(other, Err(Error::SchemaMismatch { .. })), "{other:?}");
    db.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_at_a_member_that_it_was_told_of() -> netabase::Result<()> {
    let directory = TempDir::new().expect("a directory");
    let a = founded(&directory.path().join("a")).await?;
    // Its invite names one member.
    let app = Netabase::<Note>::connect(a.invite(Role::Client).await?).await?;
    app.put_record(note(1)).await?;
    let mut nodes = vec![a];
    for name in ["b", "c"] {
        let invite = nodes[0].invite(Role::Voter).await?;
        let start = Netabase::<Note>::start().data_dir(directory.path().join(name)).listen(address());
        nodes.push(start.join(invite).await?);
    }
    let mut changes = app.watch(Note::all()).from_round(1).await?;
    // It has heard of the others when its member says so.
    let told = async {
        while app.status().await?.members.len() < 3 {
            tokio::task::yield_now().await;
        }
        Ok::<_, Error>(())
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told")?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    nodes.remove(0).shutdown().await?;
    app.put_record(note(2)).await?;
    assert_eq!(app.query(Note::all()).await?, [note(1), note(2)]);
    for id in [1, 2] {
        let change = tokio::time::timeout(Duration::from_secs(20), changes.next()).await.expect("it is told");
        assert_eq!(change.expect("it goes on")?.key().0, id);
    }
    app.shutdown().await?;
    for node in nodes {
        node.shutdown().await?;
    }
    Ok(())
}
