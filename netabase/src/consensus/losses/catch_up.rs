//! D10: what is served, replayed and synced is chosen, and stays as it is.

use std::time::{Duration, Instant};

use super::stage::{Stage, patient, until};
use crate::consensus::fixture::{entry, row};
use crate::consensus::log::Mirror;
use crate::consensus::message::PaxosAnswer;
use crate::testing::Unsynced;

#[tokio::test(flavor = "multi_thread")]
async fn d10_only_chosen_rows_are_served() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    puppets[0].propose(1, 4, &entry(1)).await.unwrap();
    puppets[0].propose(2, 4, &entry(2)).await.unwrap();
    let served = puppets[1].sync(1).await;
    assert_eq!((served.rows, served.through), (vec![], 0), "what is accepted may never be chosen");
    puppets[0].commit(1, 4, &entry(1)).await.unwrap();
    until(|| stage.durable(Mirror::chosen) == 1).await;
    let served = puppets[1].sync(1).await;
    assert_eq!((served.rows, served.through), (vec![row(1, 4, &entry(1))], 1));
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert_eq!(stage.applied(), 1, "what is accepted is not replayed either");
    assert_eq!(puppets[1].sync(1).await.rows, [row(1, 4, &entry(1))]);
}

/// Another entry was accepted here than was chosen by the others: catch-up brings the chosen one.
#[tokio::test(flavor = "multi_thread")]
async fn d10_a_decided_round_is_learned_whatever_was_accepted_for_it() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    puppets[0].propose(1, 4, &entry(1)).await.unwrap();
    puppets[1].script().chosen = vec![row(1, 5, &entry(9))];
    puppets[1].beat(5, 1).await;
    until(|| stage.durable(Mirror::chosen) == 1).await;
    let late = puppets[0].propose(1, 4, &entry(1)).await;
    assert!(matches!(&late, Ok(PaxosAnswer::Converged { entry: Some(chosen), .. }) if *chosen == entry(9)), "{late:?}");
    assert_eq!(puppets[1].sync(1).await.rows[0].entry, entry(9));
}

/// The store must not be ahead of the log after a crash, or the node takes its log for an older one (D9).
#[tokio::test(flavor = "multi_thread")]
async fn d10_the_store_is_synced_behind_the_log() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    puppets[0].propose(1, 4, &entry(1)).await.unwrap();
    stage.log_disk().hold_syncs(true);
    puppets[0].commit(1, 4, &entry(1)).await.unwrap();
    until(|| stage.applied() == 1).await;
    stage.until_log_held().await;
    let syncs = stage.store_disk().syncs();
    // Rows are written back once a second.
    let enough = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < enough {
        puppets[1].probe().await;
        assert_eq!(stage.store_disk().syncs(), syncs, "a row was synced before its log row");
    }
    stage.crash(Unsynced::Lost).await;
    stage.log_disk().hold_syncs(false);
    stage.restart(&puppets).await;
    assert!(stage.node().standing().votes);
    assert_eq!(stage.applied(), 0);
    puppets[0].commit(1, 4, &entry(1)).await.unwrap();
    stage.until(|node| node.standing().durable == 1).await;
    assert!(stage.store_disk().syncs() > syncs);
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_are_applied_in_order_and_gaps_are_fetched() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[1].script().chosen = (1..=3).map(|round| row(round, 4, &entry(round))).collect();
    assert_eq!(puppets[0].commit(5, 4, &entry(5)).await, Ok(PaxosAnswer::Committed));
    until(|| stage.applied() == 3).await;
    assert_eq!(puppets[0].commit(4, 4, &entry(4)).await, Ok(PaxosAnswer::Committed));
    until(|| stage.applied() == 5).await;
    until(|| stage.durable(Mirror::chosen) == 5).await;
    let served: Vec<_> = puppets[0].sync(1).await.rows.into_iter().map(|row| row.entry).collect();
    assert_eq!(served, (1..=5).map(entry).collect::<Vec<_>>());
}
