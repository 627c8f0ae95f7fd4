//! Handles without data: what they do when members die, and what is refused.
//!
//! That the rest of the handle is the same on both sides is tested where it is tested for a node (`on_both_sides!`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use netabase::testing::Cluster;
use netabase::{Change, Changes, Cursor, Error, Netabase, Record, Role, Tuning};
use netabase_tests::{Note, until_taken};

fn note(id: u64, text: impl Into<String>) -> Note {
    Note { id, writer: format!("writer {}", id % 3), text: text.into() }
}

async fn next(changes: &mut Changes<Note>) -> netabase::Result<Change<Note>> {
    let change = tokio::time::timeout(Duration::from_secs(30), changes.next()).await;
    change.map_err(|_| Error::Timeout)?.ok_or(Error::ShutDown)?
}

/// What a change did, for comparison.
type Seen = (Cursor, u64, Option<Note>, Option<Note>);

fn seen(change: Change<Note>) -> Seen {
    let (cursor, id) = (change.cursor(), change.key().0);
    match change {
        Change::Put { record, previous, .. } => (cursor, id, previous, Some(record)),
        Change::Remove { previous, .. } => (cursor, id, previous, None),
    }
}

/// Each write of the writers has its own effect, so that one done twice, or not at all, shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_survives_the_death_of_every_member_in_turn() -> netabase::Result<()> {
    const WRITERS: u64 = 4;
    const COUNTER: u64 = 1_000_000;
    const LAST: u64 = u64::MAX;
    let mut cluster = Cluster::<Note>::start(3).await?;
    let client = cluster.client().await?;
    client.put_record(note(COUNTER, "0")).await?;
    let mut changes = client.watch(Note::all()).from_round(1).await?;
    let watching = tokio::spawn(async move {
        let mut all = Vec::new();
        while all.last().is_none_or(|(_, id, ..): &Seen| *id != LAST) {
            all.push(seen(next(&mut changes).await?));
        }
        Ok::<_, Error>(all)
    });
    let (stop, added) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (db, stop, added) = (client.clone(), Arc::clone(&stop), Arc::clone(&added));
            tokio::spawn(async move {
                let mut written = BTreeSet::new();
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = n * WRITERS + writer;
                    // Refused if it were done twice.
                    db.insert_record(note(id, "inserted")).await?;
                    written.insert(id);
                    // Its own write, wherever it reads it.
                    assert!(db.get_record::<Note>(id).await?.is_some(), "{id}");
                    if n % 8 == writer {
                        let add = |note: &mut Note| {
                            note.text = (note.text.parse::<u64>().expect("a number") + 1).to_string();
                        };
                        db.update_record::<Note>(COUNTER, add).await?.expect("it is there");
                        added.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok::<_, Error>(written)
            })
        })
        .collect();
    for place in [0, 1, 2, 0, 1, 2] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        cluster.crash(place).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        cluster.restart(place).await?;
        cluster.leader().await?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = BTreeSet::new();
    for writer in writers {
        written.extend(writer.await.expect("a writer ends")?);
    }
    client.put_record(note(LAST, "last")).await?;
    let counter = client.linearizable().get_record::<Note>(COUNTER).await?.expect("it is there");
    assert_eq!(counter.text, added.load(Ordering::Relaxed).to_string(), "each addition once");
    let there: BTreeSet<u64> = client.query(Note::range(..COUNTER)).await?.iter().map(|note| note.id).collect();
    assert_eq!(there, written);

    // The watch saw what one that was never interrupted sees, and what is there.
    let watched = watching.await.expect("the watch ends")?;
    cluster.converged().await?;
    for place in 0..3 {
        let mut whole = cluster.node(place).watch(Note::all()).from_round(1).await?;
        let mut all = Vec::new();
        while all.last().is_none_or(|(_, id, ..): &Seen| *id != LAST) {
            all.push(seen(next(&mut whole).await?));
        }
        assert_eq!(watched, all, "node {place}");
    }
    let mut state = BTreeMap::new();
    for (cursor, id, previous, note) in watched {
        let before = match note {
            Some(note) => state.insert(id, note),
            None => state.remove(&id),
        };
        assert_eq!(before, previous, "at {cursor}");
    }
    assert_eq!(state.into_values().collect::<Vec<_>>(), client.query(Note::all()).await?);
    println!("{} inserts, {} additions", written.len(), added.load(Ordering::Relaxed));
    client.shutdown().await?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_an_answer_is_of_one_moment_all_the_same() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    let client = cluster.client().await?;
    let notes = 3_000;
    let all = |version: u64| (0..notes).map(move |id| note(id, format!("{version:>1000}"))).collect::<Vec<_>>();
    client.put_records(all(0)).await?;
    let writing = {
        let (db, stop) = (cluster.node(0), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let writer = tokio::spawn(async move {
            let mut version = 0;
            while !stopped.load(Ordering::Relaxed) {
                version += 1;
                // Two records together, at both ends.
                db.transaction(async |tx| {
                    tx.put_record(note(0, format!("{version:>1000}")))?;
                    tx.put_record(note(notes - 1, format!("{version:>1000}")))
                })
                .await?;
            }
            Ok::<_, Error>(())
        });
        (stop, writer)
    };
    for round in 0..10 {
        let query = if round % 2 == 0 { Note::all() } else { Note::by_writer(..) };
        let mut read = client.query(query).await?;
        read.sort_by_key(|note| note.id);
        assert_eq!(read.len() as u64, notes);
        assert_eq!(read[0].text, read[read.len() - 1].text, "of one moment");
        let keys = (0..notes).chain([notes + 7]);
        let got = client.get_records::<Note>(keys).await?;
        assert_eq!((got.len() as u64, got.last()), (notes + 1, Some(&None)));
        let text = |place: u64| got[place as usize].as_ref().map(|note| note.text.clone());
        assert_eq!(text(0), text(notes - 1), "of one moment");
    }
    writing.0.store(true, Ordering::Relaxed);
    writing.1.await.expect("the writer ends")?;

    // A member that dies under a long read costs time, nothing else.
    let reading = tokio::spawn({
        let client = client.clone();
        async move {
            let mut streamed = 0;
            let mut stream = client.stream(Note::all());
            while let Some(note) = stream.next().await {
                note?;
                streamed += 1;
            }
            Ok::<_, Error>((streamed, client.query(Note::all()).await?.len() as u64))
        }
    });
    for place in 0..3 {
        cluster.crash(place).await;
        cluster.restart(place).await?;
    }
    assert_eq!(reading.await.expect("it reads")?, (notes, notes));
    assert_eq!(client.count(Note::by_writer("writer 0")).await?, 1_000);
    let explain = client.explain(Note::by_writer("writer 0").limit(10)).await?;
    assert_eq!((explain.rows, explain.lookups), (10, 10));
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_and_does_not_write() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(3).await?;
    let (client, reader) = (cluster.client().await?, cluster.reader().await?);
    let round = client.put_record(note(1, "one")).await?.round().expect("it is agreed on");
    let status = client.status().await?;
    assert_eq!((status.role, status.peer_id), (Role::Client, client.peer_id()));
    assert!(status.applied_round >= round && status.members.len() == 3 && status.leader.is_some(), "{status:?}");
    assert_eq!(reader.status().await?.role, Role::Reader);
    assert!(reader.linearizable().get_record::<Note>(1).await?.is_some());
    let mut changes = reader.watch(Note::all()).from_round(round).await?;
    assert_eq!(next(&mut changes).await?.key().0, 1);
    let refused = [
        reader.put_record(note(2, "two")).await.map(drop),
        reader.put_records([note(2, "two")]).await.map(drop),
        reader.request_id([1; 16]).remove_record::<Note>(1).await.map(drop),
        reader.transaction(async |tx| tx.put_record(note(2, "two"))).await.map(drop),
    ];
    for refused in refused {
        let refused = match refused.expect_err("a reader") {
            Error::Batch { source, applied: 0, .. } => *source,
            error => error,
        };
        assert!(matches!(refused, Error::NotAuthorized { .. }), "{refused}");
        assert!(!refused.may_have_happened());
    }
    let (_, there) = reader.transaction(async |tx| tx.query(Note::all()).await).await?;
    assert_eq!(there.len(), 1);
    // At different members, and the nodes say meanwhile where they are.
    let (theirs, ours) = loop {
        let (theirs, ours) = (reader.state_hash().await?, client.state_hash().await?);
        if theirs.round == ours.round {
            break (theirs, ours);
        }
    };
    assert_eq!(theirs, ours);
    cluster.shutdown().await
}

/// Its member does not have what the handle saw at another one: it waits, or another one is asked.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_older_than_what_the_handle_has_seen() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(3).await?;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(cluster.client().await?);
    }
    for n in 0..200_u64 {
        let writer = &clients[n as usize % clients.len()];
        writer.put_record(note(1, n.to_string())).await?;
        let read = writer.get_record::<Note>(1).await?.expect("it is there");
        assert_eq!(read.text, n.to_string());
        // Another handle has seen nothing of it, unless it asks.
        let reader = &clients[(n as usize + 1) % clients.len()];
        let read = reader.linearizable().get_record::<Note>(1).await?.expect("it is there");
        assert_eq!(read.text, n.to_string());
    }
    cluster.shutdown().await
}

/// The member that is left knows nobody to hand a command to, which is not the same as not knowing what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_follows_nobody_says_that_there_is_no_quorum() -> netabase::Result<()> {
    let tuning = Tuning::default().request_timeout(Duration::from_secs(4));
    let mut cluster = Cluster::<Note>::start(3).tuning(tuning).await?;
    let client = cluster.client().await?;
    client.put_record(note(1, "one")).await?;
    let leader = cluster.leader().await?;
    cluster.crash(leader).await;
    cluster.crash((leader + 1) % 3).await;
    // The first may have been handed to the leader before it was missed.
    let first = client.put_record(note(2, "two")).await.expect_err("no quorum");
    assert!(matches!(first, Error::Timeout | Error::NoQuorum), "{first}");
    let refused = client.put_record(note(3, "three")).await.expect_err("no quorum");
    assert!(matches!(refused, Error::NoQuorum), "{refused}");
    for place in 0..3 {
        cluster.restart(place).await?;
    }
    until_taken(&client, 4).await?;
    assert!(client.get_record::<Note>(3).await?.is_none(), "it said that it did not happen");
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_it_says_so_and_goes_on_when_there_is_one() -> netabase::Result<()> {
    let tuning = Tuning::default().request_timeout(Duration::from_secs(2));
    let mut cluster = Cluster::<Note>::start(3).tuning(tuning).await?;
    let client = cluster.client().await?;
    client.put_record(note(1, "one")).await?;
    let leader = cluster.leader().await?;
    for place in (0..3).filter(|place| *place != leader) {
        cluster.crash(place).await;
    }
    assert!(client.get_record::<Note>(1).await?.is_some(), "local reads need no quorum");
    // The first may have been proposed before the leader noticed.
    let first = client.put_record(note(2, "two")).await.expect_err("no quorum");
    assert!(matches!(first, Error::Timeout | Error::NoQuorum), "{first}");
    let refused = client.put_record(note(3, "three")).await.expect_err("no quorum");
    assert!(matches!(refused, Error::NoQuorum), "{refused}");
    let unread = client.linearizable().get_record::<Note>(1).await.expect_err("no quorum");
    assert!(matches!(unread, Error::NoQuorum), "{unread}");
    for place in 0..3 {
        cluster.restart(place).await?;
    }
    until_taken(&client, 4).await?;
    assert!(client.get_record::<Note>(3).await?.is_none(), "it said that it did not happen");

    cluster.crash_all(netabase::testing::Unsynced::Lost).await;
    let alone = client.get_record::<Note>(1).await.expect_err("nobody is there");
    assert!(matches!(alone, Error::NoQuorum), "{alone}");
    let mut waiting = tokio::spawn({
        let client = client.clone();
        async move { client.watch(Note::all()).await.map(drop) }
    });
    for place in 0..3 {
        cluster.restart(place).await?;
    }
    let _ = (&mut waiting).await.expect("it ends");
    until_taken(&client, 5).await?;

    // Shut down, it says that, whatever is called.
    let mut changes = client.watch(Note::all()).await?;
    client.clone().shutdown().await?;
    assert!(changes.next().await.is_none());
    assert!(matches!(client.get_record::<Note>(1).await, Err(Error::ShutDown)));
    assert!(matches!(client.put_record(note(1, "")).await, Err(Error::ShutDown)));
    assert!(matches!(client.transaction(async |_| Ok(())).await, Err(Error::ShutDown)));
    assert!(matches!(client.watch(Note::all()).await.map(drop), Err(Error::ShutDown)));
    cluster.shutdown().await
}

/// A client with many callers is held up by none of its own bounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_share_one_client() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(3).await?;
    let client: Netabase<Note> = cluster.client().await?;
    let calls: Vec<_> = (0..1_000_u64)
        .map(|n| {
            let db = client.clone();
            tokio::spawn(async move {
                db.insert_record(note(n, "")).await?;
                db.transaction(async |tx| {
                    let mut read = tx.get_record::<Note>(n).await?.expect("it was inserted");
                    read.text = "read and written".into();
                    tx.put_record(read)
                })
                .await?;
                db.get_record::<Note>(n).await
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("a call ends")?.expect("it is there").text, "read and written");
    }
    let mut watches = Vec::new();
    let refused = loop {
        match client.watch(Note::all()).await {
            Ok(watch) => watches.push(watch),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Overloaded { limit } if limit == watches.len()), "{refused}");
    client.put_record(note(7, "told to all")).await?;
    for watch in &mut watches {
        assert_eq!(next(watch).await?.key().0, 7);
    }
    cluster.shutdown().await
}
