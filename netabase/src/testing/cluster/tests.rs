use super::*;
use crate::testing::fixture::Item;

fn item(id: u64) -> Item {
    Item { id, name: format!("name {}", id % 7) }
}

fn trace() {
    let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::DEBUG).try_init();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_keeps_what_it_acknowledged() {
    trace();
    let mut cluster = Cluster::<Item>::start(1).await.unwrap();
    for id in 0..50 {
        cluster.node(0).put_record(item(id)).await.unwrap();
    }
    cluster.crash(0).await;
    cluster.restart(0).await.unwrap();
    for id in 0..50 {
        assert_eq!(cluster.node(0).get_record::<Item>(id).await.unwrap(), Some(item(id)));
    }
    cluster.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_agree_and_survive_the_leader() {
    trace();
    let mut cluster = Cluster::<Item>::start(3).await.unwrap();
    for id in 0..100 {
        let place = usize::try_from(id % 3).unwrap();
        cluster.node(place).put_record(item(id)).await.unwrap();
        assert_eq!(cluster.node(place).get_record::<Item>(id).await.unwrap(), Some(item(id)));
    }
    let leader = cluster.leader().await.unwrap();
    cluster.crash(leader).await;
    let survivor = (leader + 1) % 3;
    let started = std::time::Instant::now();
    cluster.node(survivor).put_record(item(1000)).await.unwrap();
    eprintln!("writes flow again after {:?}", started.elapsed());
    cluster.restart(leader).await.unwrap();
    cluster.node(leader).put_record(item(1001)).await.unwrap();
    let hash = cluster.converged().await.unwrap();
    eprintln!("{hash}");
    assert_eq!(cluster.node(leader).count(<Item as crate::Record>::all()).await.unwrap(), 102);
    cluster.shutdown().await.unwrap();
}
