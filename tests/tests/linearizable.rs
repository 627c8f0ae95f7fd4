//! Linearizable reads through the handle: what was acknowledged anywhere is seen everywhere, or the read fails.

use std::time::Duration;

use netabase::testing::Cluster;
use netabase::{Error, Netabase, Record as _, Tuning};
use netabase_tests::{Note, until_taken};

fn is_refused<T: std::fmt::Debug>(answer: netabase::Result<T>) {
    match answer {
        Err(error @ (Error::NoQuorum | Error::Timeout)) => {
            assert!(matches!(error, Error::NoQuorum), "a read never may have happened: {error}");
        }
        other => panic!("a read without a quorum: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_anywhere_is_seen_everywhere() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(3).await?;
    for id in 0..90_u64 {
        let writer = cluster.node((id % 3) as usize);
        writer.put_record(Note::of(id)).await?;
        for place in 0..3 {
            let reads = cluster.node(place).linearizable();
            assert_eq!(reads.get_record::<Note>(id).await?, Some(Note::of(id)), "on node {place}");
        }
    }
    let reads = cluster.node(1).linearizable();
    assert_eq!(reads.count(Note::all()).await?, 90);
    assert_eq!(reads.get_records::<Note>([89, 90]).await?, [Some(Note::of(89)), None]);
    assert_eq!(reads.query(Note::range(88..)).await?, [Note::of(88), Note::of(89)]);
    let mut stream = reads.stream(Note::range(89..)).await?;
    assert_eq!(stream.next().await.transpose()?, Some(Note::of(89)));
    assert!(stream.next().await.is_none());
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_serves_no_old_value() -> netabase::Result<()> {
    let tuning = Tuning::default().request_timeout(Duration::from_secs(2));
    let mut cluster = Cluster::<Note>::start(3).tuning(tuning).await?;
    let old = cluster.leader().await?;
    let others = [(old + 1) % 3, (old + 2) % 3];
    cluster.node(old).put_record(Note::of(1)).await?;
    cluster.partition([&[old], &others]);
    // Asked at every moment until it knows that it is alone: it ends in a refusal, not in silence.
    let asking = tokio::spawn(ask_on(cluster.node(old)));
    until_taken(&cluster.node(others[0]), 2).await?;
    cluster.node(others[1]).remove_record::<Note>(1).await?;
    let alone = cluster.node(old);
    assert_eq!(alone.get_record::<Note>(1).await?, Some(Note::of(1)), "a local read may be old");
    is_refused(alone.linearizable().get_record::<Note>(1).await);
    is_refused(asking.await.expect("it does not panic"));
    cluster.heal();
    loop {
        match cluster.node(old).linearizable().get_record::<Note>(1).await {
            Err(Error::NoQuorum) => {}
            found => {
                assert_eq!(found?, None);
                break;
            }
        }
    }
    cluster.shutdown().await
}

/// Reads until there is an error.
async fn ask_on(db: Netabase<Note>) -> netabase::Result<()> {
    loop {
        let found = db.linearizable().get_records::<Note>([1, 2]).await?;
        assert_eq!(found, [Some(Note::of(1)), None]);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_reads_and_a_stopped_one_says_so() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(1).await?;
    let db = cluster.node(0);
    db.put_record(Note::of(1)).await?;
    assert_eq!(db.linearizable().get_record::<Note>(1).await?, Some(Note::of(1)));
    db.clone().shutdown().await?;
    assert!(matches!(db.linearizable().get_record::<Note>(1).await, Err(Error::ShutDown)));
    Ok(())
}
