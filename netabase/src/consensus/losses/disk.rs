//! D13: a log that failed says nothing more, and its node says why.

use super::stage::{Stage, item, patient, until};
use crate::consensus::fixture::entry;
use crate::consensus::message::{PaxosAnswer, PaxosRequest};
use crate::error::Error;
use crate::handle::Netabase;
use crate::node::Role;
use crate::testing::fixture::Item;
use crate::testing::{Cluster, Unsynced};

async fn failure(handle: &Netabase<Item>) -> String {
    until(|| futures::executor::block_on(handle.status()).is_err()).await;
    match handle.status().await {
        Err(error @ Error::Storage { .. }) => error.to_string(),
        other => panic!("not a failure of the storage: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d13_no_vote_leaves_after_a_failed_sync() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    stage.log_disk().fail_syncs(true);
    let votings = [
        puppets[0].ask(PaxosRequest::Propose { round: 1, ballot: 4, entry: entry(1) }),
        puppets[1].ask(PaxosRequest::Prepare { round: 1, ballot: 5 }),
    ];
    failure(&stage.handle()).await;
    for voting in votings {
        assert!(voting.answer().await.is_err(), "a vote left that is not durable");
    }
}

/// What a failed sync was to write can still be read, and is on no disk: a vote that rests on it would be forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn d13_after_a_failed_sync_the_log_is_not_voted_from_again() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    stage.log_disk().fail_syncs(true);
    let voting = puppets[0].ask(PaxosRequest::Propose { round: 1, ballot: 4, entry: entry(1) });
    failure(&stage.handle()).await;
    assert!(voting.answer().await.is_err());
    stage.log_disk().fail_syncs(false);
    for unsynced in [Unsynced::Kept, Unsynced::Lost] {
        stage.crash(unsynced).await;
        stage.restart(&puppets).await;
        assert!(!stage.node().standing().votes);
        assert!(puppets[0].propose(1, 4, &entry(1)).await.is_err());
    }
}

/// A full disk has lost nothing: with room again the node votes again.
#[tokio::test(flavor = "multi_thread")]
async fn d13_a_full_disk_stops_a_node_until_there_is_room() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    let disk = stage.log_disk();
    disk.limit_bytes(Some(disk.bytes_used()));
    let large = crate::consensus::fixture::entry_of(1, vec![1; 200_000].into());
    let voting = puppets[0].ask(PaxosRequest::Propose { round: 1, ballot: 4, entry: large });
    let reason = failure(&stage.handle()).await;
    assert!(reason.contains("free space"), "{reason}");
    assert!(voting.answer().await.is_err());
    stage.crash(Unsynced::Lost).await;
    disk.limit_bytes(None);
    stage.restart(&puppets).await;
    assert!(stage.node().standing().votes);
    assert_eq!(puppets[0].propose(1, 4, &entry(1)).await, Ok(PaxosAnswer::Accepted));
}

#[tokio::test(flavor = "multi_thread")]
async fn d13_the_others_go_on_and_what_was_acknowledged_stays_readable() {
    for victim_leads in [false, true] {
        let mut cluster = Cluster::<Item>::start(3).await.unwrap();
        for id in 0..10 {
            cluster.node(0).put_record(item(id)).await.unwrap();
        }
        cluster.converged().await.unwrap();
        let leader = cluster.leader().await.unwrap();
        let victim = if victim_leads { leader } else { (leader + 1) % 3 };
        let other = (victim + 1) % 3;
        cluster.log_disk(victim).fail_syncs(true);
        for id in 10..20 {
            // A command that the failing leader had taken may end as unknown; what is acknowledged counts.
            while cluster.node(other).put_record(item(id)).await.is_err() {}
        }
        let reason = failure(&cluster.node(victim)).await;
        assert!(reason.contains("start this node again"), "{reason}");
        for id in 0..10 {
            assert_eq!(cluster.node(victim).get_record::<Item>(id).await.unwrap(), Some(item(id)));
        }
        let refused = cluster.node(victim).put_record(item(50)).await.unwrap_err();
        assert!(!matches!(refused, Error::Timeout), "{refused}");
        cluster.log_disk(victim).fail_syncs(false);
        cluster.crash(victim).await;
        cluster.restart(victim).await.unwrap();
        cluster.converged().await.unwrap();
        assert_eq!(cluster.node(victim).get_record::<Item>(19_u64).await.unwrap(), Some(item(19)));
        assert_eq!(cluster.node(victim).status().await.unwrap().role, Role::Learner);
        cluster.shutdown().await.unwrap();
    }
}
