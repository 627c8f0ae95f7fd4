//! Three nodes on an in-memory network: what the handle promises, without faults and with a dead leader.

use netabase::testing::Cluster;
use netabase::{Error, Record};
use netabase_tests::{Note, until_taken};

#[tokio::test(flavor = "multi_thread")]
async fn one_node_keeps_what_it_acknowledged() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(1).await?;
    for id in 0..50 {
        cluster.node(0).put_record(Note::of(id)).await?;
    }
    cluster.crash(0).await;
    cluster.restart(0).await?;
    for id in 0..50 {
        assert_eq!(cluster.node(0).get_record::<Note>(id).await?, Some(Note::of(id)), "right after the start");
    }
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_reads_what_was_written_through_it() -> netabase::Result<()> {
    let cluster = Cluster::<Note>::start(3).await?;
    for id in 0..60_u64 {
        let db = cluster.node((id % 3) as usize);
        let receipt = db.put_record(Note::of(id)).await?;
        assert!(!receipt.existed() && receipt.round().is_some());
        assert_eq!(db.get_record::<Note>(id).await?, Some(Note::of(id)));
        assert_eq!(db.query(Note::by_writer(format!("writer {}", id % 16)).reverse().limit(1)).await?, [Note::of(id)]);
    }
    let db = cluster.node(1);
    assert!(matches!(db.insert_record(Note::of(3)).await, Err(Error::AlreadyExists { .. })));
    assert!(db.remove_record::<Note>(3).await?.existed());
    assert!(!db.remove_record::<Note>(3).await?.existed());
    assert_eq!(db.get_records::<Note>([3, 4]).await?, [None, Some(Note::of(4))]);
    cluster.converged().await?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_and_catches_up() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    cluster.node(0).put_records((0..500).map(Note::of)).await?;
    let leader = cluster.leader().await?;
    cluster.crash(leader).await;
    let survivor = (leader + 1) % 3;
    cluster.node(survivor).put_records((500..1_000).map(Note::of)).await?;
    cluster.restart(leader).await?;
    cluster.node(leader).put_record(Note::of(1_000)).await?;
    cluster.converged().await?;
    assert_eq!(cluster.node(leader).count(Note::all()).await?, 1_001);
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_says_that_there_is_no_quorum() -> netabase::Result<()> {
    let mut cluster = Cluster::<Note>::start(3).await?;
    let leader = cluster.leader().await?;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    cluster.node(leader).put_record(Note::of(1)).await?;
    cluster.partition([&[leader], &others]);
    cluster.node(others[0]).put_record(Note::of(2)).await?;
    let alone = cluster.node(leader).put_record(Note::of(3)).await;
    assert!(matches!(alone, Err(Error::NoQuorum | Error::Timeout)), "{alone:?}");
    assert_eq!(cluster.node(leader).get_record::<Note>(1).await?, Some(Note::of(1)), "reads go on");
    cluster.heal();
    // Until it hears from the others it goes on saying so.
    until_taken(&cluster.node(leader), 4).await?;
    cluster.converged().await?;
    cluster.shutdown().await
}
