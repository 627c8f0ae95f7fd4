//! Watches through the handle: killed and resumed by cursor, on any node, across crashes of leaders; with what is there,
//! under writes; compacted; and what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netabase::testing::Cluster;
use netabase::{Change, Changes, Cursor, Error, Netabase, Record};
use netabase_tests::{Note, Random, Side, on_both_sides};
use tokio::sync::Mutex;

on_both_sides!(what_is_there_and_then_the_changes_under_writes, transactions_are_watched_write_by_write);

/// A note of this writer; `version` makes writes of one key differ.
fn note(id: u64, writer: u64, version: u64) -> Note {
    Note { id, writer: format!("writer {writer}"), text: version.to_string() }
}

/// What a change did, for comparison: where, the key, and the texts before and after.
type Seen = (Cursor, u64, Option<String>, Option<String>);

fn seen(change: Change<Note>) -> Seen {
    let (cursor, id) = (change.cursor(), change.key().0);
    match change {
        Change::Put { record, previous, .. } => (cursor, id, previous.map(|note| note.text), Some(record.text)),
        Change::Remove { previous, .. } => (cursor, id, previous.map(|note| note.text), None),
    }
}

async fn next(changes: &mut Changes<Note>) -> netabase::Result<Change<Note>> {
    let change = tokio::time::timeout(Duration::from_secs(30), changes.next()).await;
    change.map_err(|_| Error::Timeout)?.ok_or(Error::ShutDown)?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_killed_and_resumed_sees_every_change_once_and_in_order() -> netabase::Result<()> {
    const LIVES: u64 = 100;
    let (seed, mut random) = Random::from_environment();
    let cluster = Arc::new(Mutex::new(Cluster::<Note>::start(3).await?));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..3_u64).map(|writer| tokio::spawn(write(Arc::clone(&cluster), writer, seed, Arc::clone(&stop)))).collect();
    let (mut lives, mut watched) = (0, Vec::new());
    let mut cursor = None;
    while lives < LIVES {
        let place = random.below(3) as usize;
        if lives % 20 == 10 {
            let mut cluster = cluster.lock().await;
            let leader = cluster.leader().await?;
            cluster.crash(leader).await;
            tokio::time::sleep(Duration::from_millis(random.below(300))).await;
            cluster.restart(leader).await?;
        }
        let db = cluster.lock().await.node(place);
        let watch = db.watch(Note::all());
        let mut changes = match cursor {
            None => watch.from_round(1).await?,
            Some(cursor) => watch.after(cursor).await?,
        };
        lives += 1;
        for _ in 0..random.below(40) {
            let change = tokio::time::timeout(Duration::from_millis(100), changes.next()).await;
            // Nothing is written now, or the node was crashed: another life.
            let Ok(Some(change)) = change else { break };
            let change = seen(change?);
            cursor = Some(change.0);
            watched.push(change);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("a writer ends")?;
    }
    // One that was never killed sees the same, on each node.
    let cluster = Arc::into_inner(cluster).expect("the writers have ended").into_inner();
    let last = cluster.node(0).put_record(note(u64::MAX, 0, 0)).await?.round();
    cluster.converged().await?;
    for place in 0..3 {
        let mut rest = cluster.node(place).watch(Note::all()).after(cursor.expect("something was seen")).await?;
        let mut resumed = watched.clone();
        while resumed.last().is_none_or(|(_, id, _, _)| *id != u64::MAX) {
            resumed.push(seen(next(&mut rest).await?));
        }
        let mut whole = cluster.node(place).watch(Note::all()).from_round(1).await?;
        let mut all = Vec::new();
        while all.last().is_none_or(|(_, id, _, _): &Seen| *id != u64::MAX) {
            all.push(seen(next(&mut whole).await?));
        }
        assert_eq!(resumed, all, "seed {seed}, node {place}");
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
        assert_eq!(all.last().map(|(cursor, ..)| cursor.round()), last);
        follow_each_other(&all);
    }
    println!("{LIVES} lives, {} changes", watched.len());
    cluster.shutdown().await
}

/// Each change replaces what the one before it left.
fn follow_each_other(all: &[Seen]) {
    let mut state: BTreeMap<u64, String> = BTreeMap::new();
    for (cursor, id, previous, text) in all {
        let before = match text {
            Some(text) => state.insert(*id, text.clone()),
            None => state.remove(id),
        };
        assert_eq!(before, *previous, "at {cursor}");
    }
}

/// Writes and removes notes until it is told to stop, whatever happens to the nodes.
async fn write(
    cluster: Arc<Mutex<Cluster<Note>>>,
    writer: u64,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> netabase::Result<()> {
    let mut random = Random::new(seed ^ writer);
    let mut version = 0;
    while !stop.load(Ordering::Relaxed) {
        let db = cluster.lock().await.node(random.below(3) as usize);
        for _ in 0..20 {
            version += 1;
            let id = random.below(16);
            let written = match random.below(4) {
                0 => db.remove_record::<Note>(id).await,
                _ => db.put_record(note(id, writer, writer << 32 | version)).await,
            };
            match written {
                Ok(_) => {}
                Err(Error::NoQuorum | Error::Timeout | Error::ConnectionLost | Error::ShutDown) => break,
                Err(other) => return Err(other),
            }
        }
    }
    Ok(())
}

async fn what_is_there_and_then_the_changes_under_writes(side: Side) -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(1).await?;
    let db = side.of(&cluster).await?;
    db.put_records((0..3_000).map(|id| note(id, id % 7, 0))).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (db, stop) = (db.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut random = Random::new(1);
            let mut version = 0;
            while !stop.load(Ordering::Relaxed) {
                version += 1;
                let id = random.below(3_000);
                if random.below(3) == 0 {
                    db.remove_record::<Note>(id).await?;
                } else {
                    db.put_record(note(id, random.below(7), version)).await?;
                }
            }
            Ok::<_, Error>(())
        })
    };
    // Each on its own follows the writer from some moment on; in the end all hold what the database holds.
    let mut watchers = Vec::new();
    for watcher in 0..8 {
        let by_index = watcher % 2 == 0;
        let query = move || if by_index { Note::by_writer("writer 3") } else { Note::range(500..2_000) };
        let mut changes = db.watch(query()).with_current().await?;
        watchers.push((
            query(),
            by_index,
            tokio::spawn(async move {
                let mut state: BTreeMap<u64, Note> = BTreeMap::new();
                loop {
                    match next(&mut changes).await? {
                        Change::Put { record, previous, .. } => {
                            // The last write of the test is one that everybody is told of.
                            let over = record.text == "over";
                            let selected = !by_index || record.writer == "writer 3";
                            let id = record.id;
                            let before = if selected { state.insert(id, record) } else { state.remove(&id) };
                            let known = previous.filter(|note| !by_index || note.writer == "writer 3");
                            assert_eq!(before, known, "what it replaced is what was known");
                            if over {
                                return Ok::<_, Error>(state);
                            }
                        }
                        Change::Remove { key, previous, .. } => {
                            assert_eq!(state.remove(&key.0), previous);
                        }
                    }
                }
            }),
        ));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    writing.await.expect("the writer ends")?;
    let over = Note { text: "over".into(), ..note(1_000, 3, 0) };
    db.put_record(over).await?;
    for (query, by_index, watcher) in watchers {
        let state = watcher.await.expect("a watcher ends")?;
        let mut expected = db.query(query).await?;
        expected.sort_by_key(|note| note.id);
        assert_eq!(state.into_values().collect::<Vec<_>>(), expected, "by index: {by_index}");
    }
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_gone_are_said_to_be_gone() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(1).await?;
    let db = cluster.node(0);
    let first = db.put_record(note(1, 1, 1)).await?.round().expect("it is agreed on");
    let mut slow = db.watch(Note::all()).from_round(first).await?;
    // 80 MB of changes, of which 64 MiB are kept.
    db.put_records((0..80).map(|id| Note { text: "x".repeat(1_000_000), ..note(id, 1, 0) })).await?;
    let Err(Error::Compacted { oldest }) = db.watch(Note::all()).from_round(first).await.map(drop) else {
        panic!("it is gone");
    };
    assert!(oldest > first);
    let lagged = slow.next().await.expect("it goes on");
    assert!(matches!(lagged, Err(Error::Lagged { missed }) if missed == oldest - first), "{lagged:?}");
    let again = seen(next(&mut slow).await?);
    let mut from_oldest = db.watch(Note::all()).from_round(oldest).await?;
    assert_eq!(seen(next(&mut from_oldest).await?), again);
    // The floor is as it was after a crash.
    drop((slow, from_oldest, db));
    cluster.crash(0).await;
    cluster.restart(0).await?;
    let refused = cluster.node(0).watch(Note::all()).from_round(first).await.map(drop);
    assert!(matches!(refused, Err(Error::Compacted { oldest: now }) if now == oldest), "{refused:?}");
    let mut resumed = cluster.node(0).watch(Note::all()).from_round(oldest).await?;
    assert_eq!(seen(next(&mut resumed).await?), again);
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused_and_the_future_is_waited_for() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(3).await?;
    let db = cluster.node(0);
    let refused =
        |watched: netabase::Result<Changes<Note>>| matches!(watched, Err(Error::Configuration { option: "watch", .. }));
    assert!(refused(db.watch(Note::all().limit(3)).await));
    assert!(refused(db.watch(Note::all().reverse()).await));
    assert!(refused(db.watch(Note::all().after(3)).await));
    assert!(refused(db.watch(Note::all()).with_current().from_round(3).await));
    #[expect(clippy::reversed_empty_ranges, reason = "that it is turned round is what is tested")]
    let mut turned = db.watch(Note::range(20..10)).await?;
    let round = db.put_record(note(15, 1, 1)).await?.round().expect("it is agreed on");

    // From the future, and on a node that may not have got there yet.
    let mut later = cluster.node(1).watch(Note::all()).from_round(round + 1).await?;
    let second = db.put_record(note(15, 1, 2)).await?.round();
    let change = next(&mut later).await?;
    assert_eq!((Some(change.cursor().round()), change.key().0), (second, 15));
    let Change::Put { round, record, previous, .. } = change else { panic!("it was put") };
    assert_eq!((round, record, previous), (second, note(15, 1, 2), Some(note(15, 1, 1))));

    // A watch does not outlive the node, and does not keep it.
    drop(db);
    cluster.shutdown().await?;
    assert!(turned.next().await.is_none(), "a range turned round selects nothing");
    assert!(later.next().await.is_none() && later.next().await.is_none());
    Ok(())
}

/// A transaction's changes come in the order of its writes; one that is given up has none.
async fn transactions_are_watched_write_by_write(side: Side) -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(1).await?;
    let db: Netabase<Note> = side.of(&cluster).await?;
    db.put_record(note(2, 1, 0)).await?;
    let mut changes = db.watch(Note::all()).await?;
    let aborted = db
        .transaction(async |tx| {
            tx.put_record(note(9, 9, 9))?;
            Err::<(), _>(Error::abort("not this one"))
        })
        .await;
    assert!(aborted.is_err());
    db.transaction(async |tx| {
        tx.put_record(note(3, 1, 1))?;
        tx.remove_record::<Note>(2)?;
        tx.put_record(note(1, 1, 1))
    })
    .await?;
    let mut places = Vec::new();
    for expected in [3, 2, 1] {
        let change = next(&mut changes).await?;
        assert_eq!(change.key().0, expected);
        places.push(change.cursor());
    }
    assert!(places.iter().all(|place| place.round() == places[0].round()) && places.is_sorted());
    // Resumed between two writes of one transaction.
    let mut resumed = db.watch(Note::all()).after(places[0]).await?;
    assert_eq!(next(&mut resumed).await?.key().0, 2);
    cluster.shutdown().await
}

/// How long a write takes until it is seen, with a thousand watchers of which it concerns one.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_each_get_their_own() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(1).await?;
    let db = cluster.node(0);
    let mut watchers = Vec::new();
    for writer in 0..1_000_u64 {
        let mut changes = db.watch(Note::by_writer(format!("writer {writer}"))).await?;
        watchers.push(tokio::spawn(async move {
            let first = next(&mut changes).await?.key().0;
            let second = next(&mut changes).await?.key().0;
            Ok::<_, Error>((first, second))
        }));
    }
    let started = Instant::now();
    db.put_records((0..2_000).map(|id| note(id, id % 1_000, 0))).await?;
    for (writer, watcher) in (0..).zip(watchers) {
        assert_eq!(watcher.await.expect("a watcher ends")?, (writer, writer + 1_000));
    }
    println!("2,000 writes seen by 1,000 watchers in {:?}", started.elapsed());
    cluster.shutdown().await
}
