//! A leader that is stopped in order hands its leadership over: nobody has to miss it, and no write is lost or done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netabase::testing::Cluster;
use netabase::{Error, Event, Netabase, Record as _};
use netabase_tests::Note;
use tokio::task::JoinSet;

const WRITERS: u64 = 8;
const DEADLINE: Duration = Duration::from_secs(30);

/// Counts up the note of its own, again and again; how often it was told that it did, and the longest it waited.
async fn count_up(db: Netabase<Note>, id: u64, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) -> (u64, u64, Duration) {
    let (mut counted, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match db.update_record::<Note>(id, |note| note.text.push('+')).await {
            Ok(receipt) => counted += u64::from(receipt.is_some()),
            Err(error) => panic!("writer {id}: {error}"),
        }
        longest = longest.max(began.elapsed());
        done.fetch_add(1, Ordering::Relaxed);
    }
    (id, counted, longest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_and_no_write_is_lost_or_done_twice() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    for id in 0..WRITERS {
        cluster.node(0).put_record(Note { text: String::new(), ..Note::of(id) }).await?;
    }
    cluster.converged().await?;
    let mut expected = vec![0; usize::try_from(WRITERS).expect("a few")];
    for turn in 0..4 {
        let leader = cluster.leader().await?;
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        let gone = cluster.node(leader).peer_id();
        let mut events = cluster.node(others[0]).events();
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut writers = JoinSet::new();
        for id in 0..WRITERS {
            let db = cluster.node(others[usize::try_from(id % 2).expect("0 or 1")]);
            writers.spawn(count_up(db, id, Arc::clone(&stop), Arc::clone(&done)));
        }
        until(&done, 100).await;
        let began = Instant::now();
        cluster.stop(leader).await?;
        let stopped = began.elapsed();
        until(&done, done.load(Ordering::Relaxed) + 100).await;
        stop.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        while let Some(writer) = writers.join_next().await {
            let (id, counted, waited) = writer.expect("no writer is told of an error");
            expected[usize::try_from(id).expect("a few")] += counted;
            longest = longest.max(waited);
        }
        println!("turn {turn}: stopped within {stopped:?}, the longest write took {longest:?}");

        // Another one led before this one was missed.
        loop {
            let event = tokio::time::timeout(DEADLINE, events.next()).await.expect("it is told");
            match event.expect("the node runs") {
                Event::LeaderChanged { leader: Some(leader) } if leader != gone => break,
                Event::LeaderChanged { leader: None } => panic!("turn {turn}: nobody led when it had gone"),
                _ => {}
            }
        }
        cluster.restart(leader).await?;
        cluster.converged().await?;
    }
    for (id, counted) in (0..).zip(expected) {
        let text = cluster.node(0).get_record::<Note>(id).await?.expect("it is there").text;
        assert_eq!(text.len() as u64, counted, "writer {id}: each write once");
    }
    cluster.shutdown().await
}

/// Those who write at the leader that stops are told what became of it: done, or not.
#[tokio::test(flavor = "multi_thread")]
async fn writes_at_the_leader_that_stops_are_done_or_are_not() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    let leader = cluster.leader().await?;
    let done = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (db, done) = (cluster.node(leader), Arc::clone(&done));
        writers.spawn(async move {
            let mut id = writer;
            loop {
                match db.insert_record(Note::of(id)).await {
                    Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                    Err(Error::ShutDown) => return (writer, id),
                    Err(error) => panic!("note {id}: {error}"),
                };
                id += WRITERS;
            }
        });
    }
    until(&done, 200).await;
    let began = Instant::now();
    cluster.stop(leader).await?;
    println!("stopped within {:?}", began.elapsed());
    let other = cluster.node((leader + 1) % 3);
    other.linearizable().count(Note::all()).await?;
    while let Some(writer) = writers.join_next().await {
        let (writer, end) = writer.expect("no writer is told of an unknown outcome");
        for id in (writer..end).step_by(usize::try_from(WRITERS).expect("a few")) {
            assert_eq!(other.get_record::<Note>(id).await?, Some(Note::of(id)), "it was acknowledged");
        }
        assert_eq!(other.get_record::<Note>(end).await?, None, "it was said not to have happened");
    }
    cluster.restart(leader).await?;
    cluster.converged().await?;
    cluster.shutdown().await
}

async fn until(done: &AtomicU64, wanted: u64) {
    while done.load(Ordering::Relaxed) < wanted {
        tokio::task::yield_now().await;
    }
}
