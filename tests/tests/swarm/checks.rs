//! What must hold once everything works again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use netabase::testing::Cluster;
use netabase::testing::linearize;
use netabase::{Change, Error, Netabase, Receipt, Record as _};

use super::NODES;
use super::load::{Cell, Done, Fate, Tally, Tick, Zoo};

/// How long a change may take to be seen.
const DEADLINE: Duration = Duration::from_secs(30);
/// Written last.
const MARK: u64 = u64::MAX;

/// Holds a cluster in which everything works again against what its clients were told.
pub(super) async fn check(cluster: &Cluster<Zoo>, done: &Done, what: &str) -> netabase::Result<()> {
    if let Err(violation) = linearize::check(&done.calls) {
        panic!("{what}: {violation}");
    }
    let leader = cluster.leader().await?;
    let marked = mark(&cluster.node(leader)).await?;
    cluster.converged().await?;
    cluster.agreed()?;
    cluster.verified()?;
    for node in (NODES..cluster.len()).filter(|node| cluster.is_running(*node)) {
        let again = cluster.present_again(node).await;
        assert!(matches!(again, Err(Error::InvalidInvite { .. })), "{what}: an invite lets in twice: {again:?}");
    }
    for node in (0..cluster.len()).filter(|node| cluster.is_running(*node)) {
        let db = cluster.node(node);
        once(&db, done, what).await?;
        watched(&db, marked.round(), what).await?;
        assert_eq!(db.status().await?.keeper_restarts, 0, "{what}: node {node} woke its keeper again");
    }
    Ok(())
}

/// Writes the mark, whoever leads by now.
async fn mark(db: &Netabase<Zoo>) -> netabase::Result<Receipt> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match db.put_record(Cell { key: MARK, value: 0 }).await {
            Err(Error::NoQuorum | Error::Timeout) if Instant::now() < deadline => {}
            marked => return marked,
        }
    }
}

/// Every tick that was acknowledged is there, none that was refused, and each was counted once.
async fn once(db: &Netabase<Zoo>, done: &Done, what: &str) -> netabase::Result<()> {
    let ticks: BTreeSet<u64> = db.query(Tick::all()).await?.into_iter().map(|tick| tick.id).collect();
    for (id, fate) in &done.ticks {
        match fate {
            Fate::Done => assert!(ticks.contains(id), "{what}: tick {id} was acknowledged and is lost"),
            Fate::Refused => assert!(!ticks.contains(id), "{what}: tick {id} was refused and happened"),
            Fate::Unknown => {}
        }
    }
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for tick in db.query(Tick::all()).await? {
        *counts.entry(tick.tally).or_default() += 1;
    }
    for tally in db.query(Tally::all()).await? {
        let ticks = counts.remove(&tally.id).unwrap_or_default();
        assert_eq!(tally.count, ticks, "{what}: tally {} counted {} of {ticks} ticks", tally.id, tally.count);
    }
    assert!(counts.is_empty(), "{what}: ticks that nobody counted: {counts:?}");
    Ok(())
}

/// Each change of a cell replaces what the one before it left, up to the mark, which is of this round.
async fn watched(db: &Netabase<Zoo>, marked: Option<u64>, what: &str) -> netabase::Result<()> {
    let mut changes = db.watch(Cell::all()).from_round(1).await?;
    let mut state: BTreeMap<u64, u64> = BTreeMap::new();
    let mut last = None;
    loop {
        let change = tokio::time::timeout(DEADLINE, changes.next()).await;
        let change = change.map_err(|_| Error::Timeout)?.ok_or(Error::ShutDown)??;
        let (cursor, key) = (change.cursor(), change.key().0);
        assert!(last < Some(cursor), "{what}: changes out of order at {cursor}");
        last = Some(cursor);
        let (before, previous) = match change {
            Change::Put { record, previous, .. } => (state.insert(key, record.value), previous),
            Change::Remove { previous, .. } => (state.remove(&key), previous),
        };
        assert_eq!(before, previous.map(|cell| cell.value), "{what}: a change is missing before {cursor}");
        if key == MARK && Some(cursor.round()) >= marked {
            let cells: BTreeMap<u64, u64> =
                db.query(Cell::all()).await?.into_iter().map(|cell| (cell.key, cell.value)).collect();
            assert_eq!(state, cells, "{what}: what was watched is not what is there");
            return Ok(());
        }
    }
}
