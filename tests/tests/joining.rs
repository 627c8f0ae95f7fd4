//! Invites over real sockets: who is let in, who is not and why, and where a member finds the others again.

use std::net::TcpListener;
use std::path::Path;

use netabase::{Error, Invite, Netabase, NetabaseSchema, Role};
use netabase_tests::{Note, until};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

fn note(id: u64) -> Note {
    Note { id, writer: "one".into(), text: format!("text {id}") }
}

/// An address on loopback that is free now, and that its node keeps over restarts.
fn address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    format!("/ip4/127.0.0.1/tcp/{}", free.port())
}

async fn founded(directory: &Path, address: &str) -> netabase::Result<Netabase<Note>> {
    Netabase::<Note>::start().data_dir(directory).listen(address).await
}

async fn joined(directory: &Path, address: &str, invite: &Invite) -> netabase::Result<Netabase<Note>> {
    Netabase::<Note>::start().data_dir(directory).listen(address).join(invite.clone()).await
}

fn refused<T: std::fmt::Debug>(result: netabase::Result<T>) -> String {
    match result {
        Err(Error::InvalidInvite { reason }) => reason,
        other => panic!("not an invalid invite: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_machines_find_together_by_invites_and_find_each_other_again() -> netabase::Result<()> {
    let directories = [(); 3].map(|()| TempDir::new().expect("a directory"));
    let addresses = [(); 3].map(|()| address());
    let a = founded(directories[0].path(), &addresses[0]).await?;
    a.put_record(note(1)).await?;
    let invite: Invite = a.invite(Role::Voter).await?.to_string().parse()?;
    let b = joined(directories[1].path(), &addresses[1], &invite).await?;
    assert_eq!(b.get_record::<Note>(1).await?, Some(note(1)));
    assert_eq!(b.status().await?.role, Role::Voter);
    // Any member honours an invite, also when the one that gave it is gone.
    let invite = a.invite(Role::Voter).await?;
    b.put_record(note(2)).await?;
    let c = joined(directories[2].path(), &addresses[2], &invite).await?;
    c.put_record(note(3)).await?;
    assert_eq!(a.status().await?.members.len(), 3);

    a.shutdown().await?;
    c.put_record(note(4)).await?;
    b.shutdown().await?;
    c.shutdown().await?;

    // No founders, no invites: the directories know. An invite that was used is ignored.
    let b = Netabase::<Note>::start().data_dir(directories[1].path()).listen(&addresses[1]).await?;
    let c = joined(directories[2].path(), &addresses[2], &invite).await?;
    until(|| async { b.put_record(note(5)).await.is_ok() }).await;
    let a = founded(directories[0].path(), &addresses[0]).await?;
    until(|| async { a.get_record::<Note>(5).await.is_ok_and(|found| found == Some(note(5))) }).await;
    for id in 1..=5 {
        assert_eq!(c.linearizable().get_record::<Note>(id).await?, Some(note(id)));
    }
    for node in [a, b, c] {
        node.shutdown().await?;
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "note")]
struct OtherNote {
    #[netabase(key)]
    id: u64,
    text: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_is_good_for_one_and_says_why_it_is_not_for_another() -> netabase::Result<()> {
    let directories = [(); 5].map(|()| TempDir::new().expect("a directory"));
    let (here, there) = (address(), address());
    let a = founded(directories[0].path(), &here).await?;

    // Another schema does not use it up.
    let invite = a.invite(Role::Learner).await?;
    let other = Netabase::<OtherNote>::start().data_dir(directories[1].path()).join(invite.clone()).await;
    assert!(matches!(other, Err(Error::SchemaMismatch { .. })), "{other:?}");
    let b = joined(directories[2].path(), &there, &invite).await?;
    assert_eq!(b.status().await?.role, Role::Learner);
    let reason = refused(joined(directories[3].path(), &address(), &invite).await);
    assert!(reason.contains("used already"), "{reason}");

    // Another cluster's directory.
    let invite = a.invite(Role::Voter).await?;
    let alone = founded(directories[4].path(), &address()).await?;
    alone.shutdown().await?;
    let reason = refused(joined(directories[4].path(), &address(), &invite).await);
    assert!(reason.contains("another directory"), "{reason}");

    // A client's invite.
    let reason = refused(joined(directories[3].path(), &address(), &a.invite(Role::Client).await?).await);
    assert!(reason.contains("`join` takes"), "{reason}");

    b.shutdown().await?;
    a.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_found_cannot_invite_and_a_removed_machine_is_told() -> netabase::Result<()> {
    let directories = [(); 2].map(|()| TempDir::new().expect("a directory"));
    let (here, there) = (address(), address());
    let a = Netabase::<Note>::start().data_dir(directories[0].path()).await?;
    assert!(matches!(a.invite(Role::Voter).await, Err(Error::Configuration { option: "listen", .. })));
    a.shutdown().await?;
    let a = founded(directories[0].path(), &here).await?;
    let invite = a.invite(Role::Learner).await?;
    let b = joined(directories[1].path(), &there, &invite).await?;
    b.put_record(note(1)).await?;
    let removed = b.peer_id();
    // It is away when it is removed, and hears of it when it comes back.
    b.shutdown().await?;
    a.remove_member(removed).await?;
    let b = Netabase::<Note>::start().data_dir(directories[1].path()).listen(&there).await?;
    until(|| async { matches!(b.status().await, Err(Error::Removed)) }).await;
    assert!(matches!(b.put_record(note(2)).await, Err(Error::Removed)));
    let _ = b.shutdown().await;
    assert!(matches!(Netabase::<Note>::start().data_dir(directories[1].path()).await, Err(Error::Removed)));
    assert!(matches!(joined(directories[1].path(), &there, &invite).await, Err(Error::Removed)));
    // A new invite brings it back.
    let invite = a.invite(Role::Voter).await?;
    let b = joined(directories[1].path(), &there, &invite).await?;
    b.put_record(note(3)).await?;
    assert_eq!(b.get_record::<Note>(1).await?, Some(note(1)));
    b.shutdown().await?;
    a.put_record(note(4)).await.expect_err("one of two is no majority");
    Ok(())
}
