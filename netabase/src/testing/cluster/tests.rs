//! The same cluster over sockets: what faults do to it there.

use super::*;
use crate::handle::Netabase;
use crate::testing::fixture::Item;

/// Calls that must fail here do so within this.
fn brief() -> Tuning {
    Tuning::default().request_timeout(Duration::from_secs(2))
}

async fn three() -> Cluster<Item> {
    Cluster::start(3).over_sockets().tuning(brief()).await.unwrap()
}

fn item(id: u64) -> Item {
    Item { id, name: format!("item {id}") }
}

/// Writes until it is acknowledged: a leader may have to be found first.
async fn put(node: &Netabase<Item>, id: u64) {
    until(|| async { Ok(node.put_record(item(id)).await.ok()) }).await.unwrap();
}

/// The two nodes that do not lead.
fn followers(leader: usize) -> [usize; 2] {
    [(leader + 1) % 3, (leader + 2) % 3]
}

/// Whether it holds these items.
async fn holds(node: &Netabase<Item>, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        assert_eq!(node.get_record::<Item>(id).await.unwrap(), Some(item(id)));
    }
}

/// Waits until another node leads than that one, as the others see it.
async fn replaced(cluster: &Cluster<Item>, old: usize) -> usize {
    let led = || async {
        let leads = |place: &usize| *place != old && cluster.running_standing(*place).leads;
        Ok((0..3).filter(|&place| cluster.is_running(place)).find(leads))
    };
    until(led).await.unwrap()
}

async fn leader_is_parted(refuse: bool) {
    let mut cluster = three().await;
    let old = cluster.leader().await.unwrap();
    put(&cluster.node(old), 1).await;
    let others = followers(old);
    cluster.refuse_in_partitions(refuse);
    cluster.partition([&others, &[old]]);
    let new = replaced(&cluster, old).await;
    put(&cluster.node(new), 2).await;
    put(&cluster.node(followers(old)[usize::from(new == others[0])]), 3).await;
    // Nothing gets through to the one that is alone, and what it is asked is not done.
    let refused = cluster.node(old).put_record(item(4)).await;
    assert!(matches!(refused, Err(Error::NoQuorum | Error::Timeout | Error::ConnectionLost)), "{refused:?}");
    assert_eq!(cluster.node(old).get_record::<Item>(2).await.unwrap(), None);
    cluster.heal();
    put(&cluster.node(old), 5).await;
    cluster.converged().await.unwrap();
    assert!(cluster.agreed().unwrap() > 0);
    for place in 0..3 {
        holds(&cluster.node(place), [1, 2, 3, 5]).await;
    }
    cluster.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_silent_partition_leaves_the_majority_at_work_and_the_minority_without() {
    leader_is_parted(false).await;
}

#[tokio::test]
async fn a_partition_that_refuses_does_the_same() {
    leader_is_parted(true).await;
}

#[tokio::test]
async fn a_node_may_be_deaf_or_mute() {
    let mut cluster = three().await;
    let leader = cluster.leader().await.unwrap();
    let [node, other] = followers(leader);
    put(&cluster.node(leader), 1).await;
    cluster.converged().await.unwrap();
    for place in [leader, other] {
        cluster.cut(place, node);
    }
    put(&cluster.node(leader), 2).await;
    assert_eq!(cluster.node(node).get_record::<Item>(2).await.unwrap(), None, "it is deaf");
    assert_eq!(cluster.leader().await.unwrap(), leader, "one that hears nothing puts no leader down");
    cluster.heal();
    cluster.converged().await.unwrap();
    holds(&cluster.node(node), [2]).await;
    let leader = cluster.leader().await.unwrap();
    let [node, other] = followers(leader);
    for place in [leader, other] {
        cluster.cut(node, place);
    }
    put(&cluster.node(leader), 3).await;
    let mute = cluster.node(node);
    until(|| async { mute.get_record::<Item>(3).await }).await.expect("it is told");
    let refused = mute.put_record(item(4)).await;
    assert!(matches!(refused, Err(Error::NoQuorum | Error::Timeout | Error::ConnectionLost)), "{refused:?}");
    assert_eq!(cluster.node(leader).get_record::<Item>(4).await.unwrap(), None, "it is mute");
    cluster.heal();
    cluster.converged().await.unwrap();
    cluster.shutdown().await.unwrap();
}

#[tokio::test]
async fn nodes_that_crash_are_found_on_their_new_ports() {
    let mut cluster = three().await;
    let first = cluster.leader().await.unwrap();
    put(&cluster.node(first), 1).await;
    cluster.crash(first).await;
    let second = replaced(&cluster, first).await;
    put(&cluster.node(second), 2).await;
    cluster.restart(first).await.unwrap();
    cluster.converged().await.unwrap();
    // Nobody is where it was.
    cluster.crash_all(Unsynced::Lost).await;
    for place in 0..3 {
        cluster.restart(place).await.unwrap();
    }
    put(&cluster.node(first), 3).await;
    cluster.converged().await.unwrap();
    holds(&cluster.node(first), 1..=3).await;
    cluster.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_outlives_its_member() {
    let mut cluster = three().await;
    let app = cluster.client().await.unwrap();
    put(&app, 0).await;
    // Whichever its member is, it is one of these.
    for place in 0..3 {
        cluster.crash(place).await;
        put(&app, 1 + place as u64).await;
        cluster.restart(place).await.unwrap();
        cluster.converged().await.unwrap();
    }
    holds(&app, 0..=3).await;
    app.shutdown().await.unwrap();
    cluster.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_node_joins_and_comes_back_while_everything_is_late() {
    let mut cluster = three().await;
    cluster.delay_messages(Duration::from_millis(5)..Duration::from_millis(20));
    let joined = cluster.join(0, Role::Learner).await.unwrap();
    put(&cluster.node(joined), 1).await;
    cluster.crash(joined).await;
    cluster.restart(joined).await.unwrap();
    cluster.calm();
    put(&cluster.node(joined), 2).await;
    cluster.converged().await.unwrap();
    holds(&cluster.node(joined), 1..=2).await;
    cluster.shutdown().await.unwrap();
}
