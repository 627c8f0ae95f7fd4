//! An application's own test, in 25 lines: what a shop does while its network is split.

use netabase::testing::Cluster;
use netabase::{Error, NetabaseSchema};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Item {
    #[netabase(key)]
    id: u64,
    left: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_twice_over_a_partition() -> netabase::Result<()> {
    let mut cluster = Cluster::<Item>::start(3).await?;
    cluster.node(0).put_record(Item { id: 1, left: 1 }).await?;
    let leader = cluster.leader().await?;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    cluster.partition([&[leader], &others]);
    let sell = |item: &mut Item| item.left = item.left.saturating_sub(1);
    cluster.node(others[0]).update_record::<Item>(1, sell).await?; // the majority goes on, with another leader
    let alone = cluster.node(leader).linearizable().get_record::<Item>(1).await;
    assert!(matches!(alone, Err(Error::NoQuorum | Error::Timeout)), "who is alone does not sell it again: {alone:?}");
    cluster.heal();
    cluster.converged().await?; // every node holds the same again
    assert_eq!(cluster.node(leader).get_record::<Item>(1).await?, Some(Item { id: 1, left: 0 }));
    cluster.shutdown().await
}
