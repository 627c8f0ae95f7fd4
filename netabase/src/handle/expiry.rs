//! Records that expire, through handles: whatever the clock beside the handle says, and wherever it reads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::tx::{Run, Tx, lock};
use crate::clock::{skew_clock, skew_clock_here};
use crate::command::Write;
use crate::error::{Error, Result};
use crate::schema::{Record as _, RecordId};
use crate::testing::{Cluster, Unsynced};
use crate::{Change, Netabase};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
#[netabase(crate = "crate", ttl = "until")]
struct Login {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    token: String,
    until: Option<SystemTime>,
}

const DAY_S: i64 = 86_400;

fn login(id: u64, lasts: impl Into<Option<Duration>>) -> Login {
    let until = lasts.into().map(|lasts| SystemTime::now() + lasts);
    Login { id, token: format!("token {id}"), until }
}

fn hour() -> Duration {
    Duration::from_secs(3_600)
}

async fn three() -> Cluster<Login> {
    Cluster::start(3).await.expect("it starts")
}

/// What every kind of read shows; all of them the same.
async fn shown(db: &Netabase<Login>) -> Result<Vec<u64>> {
    let found: Vec<u64> = db.query(Login::all()).await?.into_iter().map(|login| login.id).collect();
    let got = db.get_records::<Login>(0..10_u64).await?.into_iter().flatten().map(|login| login.id);
    assert_eq!(got.collect::<Vec<_>>(), found);
    let mut one_by_one = Vec::new();
    for id in 0..10_u64 {
        one_by_one.extend(db.get_record::<Login>(id).await?.map(|login| login.id));
    }
    assert_eq!(one_by_one, found);
    let mut streamed = Vec::new();
    let mut logins = db.stream(Login::all());
    while let Some(login) = logins.next().await {
        streamed.push(login?.id);
    }
    assert_eq!(streamed, found);
    let by_token: Vec<Login> = db.query(Login::by_token(..)).await?;
    assert_eq!(by_token.len(), found.len());
    assert_eq!(db.count(Login::all()).await?, found.len() as u64);
    assert_eq!(db.count(Login::by_token(..)).await?, found.len() as u64);
    let (_, seen) = db.transaction(async |tx| tx.query(Login::all()).await).await?;
    assert_eq!(seen.len(), found.len());
    Ok(found)
}

#[tokio::test]
async fn what_expires_is_removed_everywhere_and_a_clock_that_is_behind_does_not_bring_it_back() {
    let cluster = three().await;
    let leader = cluster.leader().await.unwrap();
    let follower = cluster.node((leader + 1) % 3);
    let mut changes = follower.watch(Login::all()).await.unwrap();
    follower.put_record(login(2, None)).await.unwrap();
    follower.put_record(login(3, hour())).await.unwrap();
    follower.put_record(login(1, Duration::from_millis(50))).await.unwrap();
    // The one beside the handle, not the ones of the voters.
    skew_clock_here(-DAY_S);
    let mut put = 0;
    let removed = loop {
        match changes.next().await.expect("the node runs").unwrap() {
            Change::Put { .. } => put += 1,
            Change::Remove { key, previous, .. } => break (key, previous),
        }
    };
    assert_eq!((put, removed.0.0, removed.1.map(|login| login.token)), (3, 1, Some("token 1".to_owned())));
    assert_eq!(shown(&follower).await.unwrap(), [2, 3]);
    assert!(follower.insert_record(login(1, hour())).await.is_ok());
    skew_clock_here(0);
    cluster.converged().await.unwrap();
    for place in 0..3 {
        assert_eq!(shown(&cluster.node(place)).await.unwrap(), [1, 2, 3]);
    }
    cluster.shutdown().await.unwrap();
}

/// It had them removed for all: by an insert under their keys, or of their unique values.
#[tokio::test]
async fn a_clock_that_is_ahead_hides_records_from_its_own_handle_only_and_removes_none() {
    let cluster = three().await;
    let leader = cluster.leader().await.unwrap();
    let (db, follower) = (cluster.node(leader), cluster.node((leader + 1) % 3));
    for id in 0..6 {
        follower.put_record(login(id, (id != 5).then(hour))).await.unwrap();
    }
    skew_clock_here(DAY_S);
    assert_eq!(shown(&follower).await.unwrap(), [5]);
    assert_eq!(shown_current(&follower).await, [5]);
    assert!(follower.update_record::<Login>(0_u64, |login| login.until = None).await.unwrap().is_none());
    // It is waited for their removal, in vain, since the clocks of all others say otherwise.
    let lasting = |id: u64| Login { until: None, ..login(id, None) };
    let named = follower.request_id(*b"once and no more");
    let refused = tokio::join!(
        follower.insert_record(lasting(0)),
        follower.put_record(Login { token: "token 1".into(), ..lasting(6) }),
        follower.put_records([Login { token: "token 2".into(), ..lasting(7) }]),
        follower.transaction(async |tx| tx.insert_record(lasting(3))),
        named.insert_record(lasting(4)),
    );
    assert!(matches!(refused.0, Err(Error::AlreadyExists { .. })), "{:?}", refused.0);
    assert!(matches!(refused.1, Err(Error::UniqueViolation { .. })), "{:?}", refused.1);
    assert!(matches!(refused.2, Err(Error::Batch { .. })), "{:?}", refused.2);
    assert!(matches!(refused.3, Err(Error::AlreadyExists { .. })), "{:?}", refused.3);
    assert!(matches!(refused.4, Err(Error::AlreadyExists { .. })), "{:?}", refused.4);
    // A put under its key is in place of it, whoever is shown it.
    assert!(follower.put_record(lasting(4)).await.unwrap().existed());
    assert_eq!(shown(&follower).await.unwrap(), [4, 5]);
    skew_clock_here(0);
    cluster.converged().await.unwrap();
    assert_eq!(shown(&db).await.unwrap(), [0, 1, 2, 3, 4, 5]);
    cluster.shutdown().await.unwrap();
}

/// Between the instant and the removal, which the leader has agreed on a moment later.
#[tokio::test]
async fn a_write_that_what_has_expired_refuses_waits_until_it_is_removed() {
    let cluster = three().await;
    let db = cluster.node((cluster.leader().await.unwrap() + 1) % 3);
    let client = cluster.client().await.unwrap();
    for id in 0..5 {
        db.put_record(login(id, hour())).await.unwrap();
    }
    assert_eq!(shown(&client).await.unwrap(), [0, 1, 2, 3, 4]);
    let thief = |id: u64| Login { token: format!("token {id}"), ..login(id + 4, None) };
    // From this moment on they have expired for all, and nothing was removed yet.
    skew_clock(DAY_S);
    let (inserted, put, in_one, by_client, by_client_in_one) = tokio::join!(
        db.insert_record(login(0, None)),
        db.put_record(thief(1)),
        db.transaction(async |tx| tx.insert_record(login(4, None))),
        client.insert_record(login(2, None)),
        client.transaction(async |tx| tx.insert_record(thief(3))),
    );
    assert!(!inserted.unwrap().existed() && !put.unwrap().existed() && !by_client.unwrap().existed());
    assert!(in_one.unwrap().0.round().is_some() && by_client_in_one.unwrap().0.round().is_some());
    let found = db.linearizable().query(Login::all()).await.unwrap();
    let found: Vec<u64> = found.into_iter().map(|login| login.id).collect();
    assert_eq!(found, [0, 2, 4, 5, 7]);
    skew_clock(0);
    cluster.shutdown().await.unwrap();
}

/// The records with which a watch begins.
async fn shown_current(db: &Netabase<Login>) -> Vec<u64> {
    let mut changes = db.watch(Login::all()).with_current().await.unwrap();
    let mut shown = Vec::new();
    // The last one that is there ends it.
    while shown.last() != Some(&5) {
        let change = changes.next().await.expect("the node runs").unwrap();
        shown.push(change.key().0);
    }
    shown
}

/// Where nobody leads nothing is removed, and a client is shown it all the same by the member that it asks.
#[tokio::test]
async fn a_client_is_not_shown_what_has_expired_where_nobody_leads() {
    let mut cluster = three().await;
    let db = cluster.node(0);
    for id in 0..4 {
        db.put_record(login(id, (id % 2 == 0).then(hour))).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    assert_eq!(shown(&client).await.unwrap(), [0, 1, 2, 3]);
    cluster.converged().await.unwrap();
    cluster.crash_leaving(1, Unsynced::Kept).await;
    cluster.crash_leaving(2, Unsynced::Kept).await;
    skew_clock(DAY_S);
    assert_eq!(shown(&client).await.unwrap(), [1, 3]);
    assert_eq!(shown(&db).await.unwrap(), [1, 3]);
    drop(db);
    // A write over it is to wait, one over what is shown is not; and nothing of either is sent.
    for (id, again) in [(0, true), (1, false)] {
        let (value, foresight) = (login(id, None).__encode().unwrap().into(), Arc::default());
        let insert = Write::Insert { record: RecordId::named("login"), value };
        let run = Run::begin(&client.origin, &foresight).await.unwrap();
        let tx = Tx::<Login>::of(Arc::clone(&run));
        tx.write(insert).unwrap();
        assert!(matches!(tx.get_record::<Login>(id).await, Err(Error::Conflict)), "it is told to run again");
        assert!(run.end(true, false).await.unwrap().again);
        assert_eq!(lock(&foresight).take_awaits_sweep(), again, "login {id}");
    }
    cluster.restart(1).await.unwrap();
    cluster.restart(2).await.unwrap();
    // With a leader, the clocks of all say that it is due.
    client.insert_record(login(0, None)).await.unwrap();
    assert_eq!(client.linearizable().count(Login::all()).await.unwrap(), 3);
    cluster.shutdown().await.unwrap();
}

/// Each page ends behind 4,096 records that are not shown, also with none that is.
#[tokio::test]
async fn what_is_behind_thousands_that_have_expired_is_found() {
    let mut cluster = three().await;
    let db = cluster.node(0);
    db.put_records((0..11_000).map(|id| login(id, hour()))).await.unwrap();
    db.put_record(login(11_000, None)).await.unwrap();
    let client = cluster.client().await.unwrap();
    assert_eq!(client.count(Login::all()).await.unwrap(), 11_001);
    cluster.converged().await.unwrap();
    cluster.crash_leaving(1, Unsynced::Kept).await;
    cluster.crash_leaving(2, Unsynced::Kept).await;
    skew_clock(DAY_S);
    for db in [&db, &client] {
        let ids = |logins: Vec<Login>| logins.into_iter().map(|login| login.id).collect::<Vec<_>>();
        assert_eq!(ids(db.query(Login::all().limit(1)).await.unwrap()), [11_000]);
        assert_eq!(ids(db.query(Login::by_token(..)).await.unwrap()), [11_000]);
        let (_, seen) = db.transaction(async |tx| tx.query(Login::all()).await).await.unwrap();
        assert_eq!(ids(seen), [11_000]);
        let mut logins = db.stream(Login::by_token(..).reverse());
        assert_eq!(logins.next().await.unwrap().unwrap().id, 11_000);
        assert!(logins.next().await.is_none());
        let mut logins = db.stream(Login::all());
        assert_eq!(logins.next().await.unwrap().unwrap().id, 11_000);
        let mut changes = db.watch(Login::all()).with_current().await.unwrap();
        assert_eq!(changes.next().await.unwrap().unwrap().key().0, 11_000);
    }
    skew_clock(0);
    drop((db, client));
    cluster.shutdown().await.unwrap();
}
