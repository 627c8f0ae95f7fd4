//! A node whose disk changed a row behind its back: the others notice by what its rows come to, and it gives way.

use std::sync::Arc;

use super::stage::{item, until};
use crate::Error;
use crate::node::{Event, Tuning};
use crate::schema::{Record, RecordId};
use crate::storage::{Engine, RedbEngine, layout};
use crate::testing::Cluster;
use crate::testing::fixture::Item;

const EVERY: u64 = 16;

async fn cluster(voters: usize) -> Cluster<Item> {
    let tuning = Tuning { checkpoint_rounds: EVERY, ..Tuning::default() };
    let cluster = Cluster::start(voters).tuning(tuning).await.unwrap();
    for id in 1..=3 {
        cluster.node(0).put_record(item(id)).await.unwrap();
    }
    cluster
}

/// Changes a record in a node's file while the node is down.
async fn damage(cluster: &mut Cluster<Item>, place: usize) {
    cluster.converged().await.unwrap();
    cluster.stop(place).await.unwrap();
    let engine: Arc<dyn Engine> = Arc::new(RedbEngine::open_backend(cluster.store_disk(place)).unwrap());
    let other = Item { name: "not as it was".into(), ..item(1) };
    let key = layout::record_key(RecordId::named(Item::NAME), &layout_key(1));
    assert!(engine.snapshot().unwrap().get(&key).unwrap().is_some(), "that is its row");
    let row = layout::record_value(2, &other.__encode().unwrap());
    engine.write(&mut std::iter::once((key, Some(row))), true).unwrap();
    drop(engine);
    cluster.restart(place).await.unwrap();
}

fn layout_key(id: u64) -> Vec<u8> {
    crate::schema::Key::to_bytes(&id)
}

/// Writes to the record that was changed, and then on until that holds.
async fn write_until(cluster: &Cluster<Item>, at: usize, holds: impl Fn() -> bool) {
    for round in 0..40 * EVERY {
        let name = format!("round {round}");
        cluster.node(at).put_record(Item { id: 1 + round % 3, name }).await.unwrap();
        if holds() {
            return;
        }
    }
    until(holds).await;
}

fn is_quarantined(cluster: &Cluster<Item>, place: usize) -> bool {
    matches!(cluster.running(place).failure(), Some(Error::Quarantined { .. }))
}

fn other_than(cluster: &Cluster<Item>, places: &[usize]) -> usize {
    (0..cluster.len()).find(|place| !places.contains(place)).expect("there is another one")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_a_majority_contradicts_gives_way_until_it_has_its_records_anew() {
    let mut cluster = cluster(3).await;
    let leader = cluster.leader().await.unwrap();
    let victim = other_than(&cluster, &[leader]);
    damage(&mut cluster, victim).await;
    let leader = cluster.leader().await.unwrap();
    assert_ne!(leader, victim);
    let mut events = cluster.node(victim).events();
    write_until(&cluster, leader, || is_quarantined(&cluster, victim)).await;

    let read = cluster.node(victim).get_record::<Item>(2_u64).await;
    assert!(matches!(read, Err(Error::Quarantined { .. })), "{read:?}");
    assert!(matches!(cluster.node(victim).status().await, Err(Error::Quarantined { .. })));
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        told.push(event);
    }
    assert!(told.iter().any(|event| matches!(event, Event::Quarantined { .. })), "{told:?}");
    for place in (0..3).filter(|place| *place != victim) {
        assert!(cluster.running(place).failure().is_none(), "those that agree go on");
        assert_eq!(cluster.running_standing(place).differs, None);
    }
    cluster.node(leader).put_record(item(9)).await.unwrap();

    // Durably: it does not come back as it was.
    assert!(cluster.stop(victim).await.is_err());
    assert!(matches!(cluster.restart(victim).await, Err(Error::Quarantined { .. })));
    cluster.rebuild(victim).await.unwrap();
    cluster.converged().await.unwrap();
    cluster.verified().unwrap();
    // In the epoch in which it was, with the log that it had.
    assert_eq!(cluster.running_standing(victim).epoch.0, 0);
    let third = other_than(&cluster, &[leader, victim]);
    cluster.crash(third).await;
    let leader = cluster.leader().await.unwrap();
    cluster.node(leader).put_record(item(10)).await.unwrap();
    cluster.stop(victim).await.unwrap();
    cluster.restart(victim).await.unwrap();
    cluster.restart(third).await.unwrap();
    cluster.converged().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_a_majority_contradicts_gives_way() {
    let mut cluster = cluster(3).await;
    damage(&mut cluster, 0).await;
    loop {
        let leader = cluster.leader().await.unwrap();
        if leader == 0 {
            break;
        }
        cluster.stop(leader).await.unwrap();
        cluster.leader().await.unwrap();
        cluster.restart(leader).await.unwrap();
    }
    write_until_tolerant(&cluster, 1, || is_quarantined(&cluster, 0)).await;
    let _ = cluster.stop(0).await;
    let leader = cluster.leader().await.unwrap();
    assert_ne!(leader, 0);
    cluster.node(leader).put_record(item(9)).await.unwrap();
    cluster.rebuild(0).await.unwrap();
    cluster.converged().await.unwrap();
}

/// While the leader changes, a write's outcome may stay unknown.
async fn write_until_tolerant(cluster: &Cluster<Item>, at: usize, holds: impl Fn() -> bool) {
    for round in 0..40 * EVERY {
        let name = format!("round {round}");
        let _ = cluster.node(at).put_record(Item { id: 1 + round % 3, name }).await;
        if holds() {
            return;
        }
    }
    until(holds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_voters_that_differ_both_say_so_and_go_on() {
    let mut cluster = cluster(2).await;
    damage(&mut cluster, 1).await;
    let leader = cluster.leader().await.unwrap();
    let mut events = cluster.node(1 - leader).events();
    let differs = |place: usize| cluster.running_standing(place).differs.is_some();
    write_until(&cluster, leader, || differs(0) && differs(1)).await;
    while !matches!(events.next().await.expect("it runs"), Event::StatesDiffer { .. }) {}
    for place in 0..2 {
        assert!(cluster.running(place).failure().is_none(), "nobody knows who is right");
        assert!(cluster.node(place).status().await.unwrap().differs.is_some());
        cluster.node(place).get_record::<Item>(2_u64).await.unwrap();
    }
    // Who operates them knows.
    cluster.stop(1).await.unwrap();
    cluster.rebuild(1).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let agree = |place: usize| cluster.running_standing(place).differs.is_none();
    write_until(&cluster, leader, || agree(0) && agree(1)).await;
    cluster.converged().await.unwrap();
}

/// What nobody else could give it is not thrown away.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_alone_or_new_is_not_rebuilt() {
    let mut cluster = cluster(1).await;
    cluster.stop(0).await.unwrap();
    assert!(matches!(cluster.rebuild(0).await, Err(Error::Configuration { option: "rebuild", .. })));
    cluster.restart(0).await.unwrap();
    assert_eq!(cluster.node(0).get_record::<Item>(1_u64).await.unwrap(), Some(item(1)));
    cluster.stop(0).await.unwrap();
    cluster.lose_directory(0);
    assert!(matches!(cluster.rebuild(0).await, Err(Error::Configuration { option: "rebuild", .. })));
}
