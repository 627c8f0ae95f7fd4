//! D13: a log that failed says nothing more, and its node says why.

use super::stage::{Stage, item, patient, put_at_last, until};
use futures::FutureExt;

use crate::consensus::fixture::entry;
use crate::consensus::id::Epoch;
use crate::consensus::message::{PaxosAnswer, PaxosRequest};
use crate::error::Error;
use crate::handle::Netabase;
use crate::node::{Event, Role};
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

/// A full disk has lost nothing: with room again the node votes again, as the same process.
#[tokio::test(flavor = "multi_thread")]
async fn d13_a_full_disk_stops_a_node_until_there_is_room() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    puppets[0].beat(4, 0).await;
    let disk = stage.log_disk();
    disk.limit_bytes(Some(disk.bytes_used()));
    let large = crate::consensus::fixture::entry_of(1, vec![1; 200_000].into());
    let voting = puppets[0].ask(PaxosRequest::Propose { round: 1, ballot: 4, entry: large });
    assert!(voting.answer().await.is_err());
    stage.until(|node| node.standing().full).await;
    assert!(puppets[1].prepare(1, 5).await.is_err(), "it votes, and cannot remember it");
    assert_eq!(puppets[0].confirm(4).await, None, "nor does it confirm anything");
    match stage.handle().put_record(item(1)).await {
        Err(Error::Storage { reason, .. }) => assert!(reason.contains("free some space"), "{reason}"),
        other => panic!("it is not said why nothing is taken: {other:?}"),
    }
    assert_eq!(stage.handle().get_record::<Item>(1).await.unwrap(), None, "reads go on");
    disk.limit_bytes(None);
    stage.until(|node| !node.standing().full).await;
    assert!(stage.node().standing().votes);
    assert!(puppets[1].prepare(1, 2).await.is_ok_and(|vote| vote == PaxosAnswer::Supplanted { ballot: 4 }));
    assert_eq!(puppets[0].propose(1, 4, &entry(1)).await, Ok(PaxosAnswer::Accepted));
}

/// Rounds that were applied when the disk was full, and noted in memory only, are in the log when it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn d13_what_was_applied_on_a_full_disk_is_logged_when_there_is_room() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    puppets[0].prepare(1, 4).await.unwrap();
    let disk = stage.log_disk();
    disk.hold_syncs(true);
    let voting = puppets[0].ask(PaxosRequest::Propose { round: 9, ballot: 4, entry: entry(9) });
    stage.until_log_held().await;
    for round in 1..=3 {
        let large = crate::consensus::fixture::entry_of(round, vec![1; 100_000].into());
        puppets[0].commit(round, 4, &large).await.unwrap();
    }
    stage.until(|node| node.standing().applied == 3).await;
    disk.limit_bytes(Some(disk.bytes_used()));
    disk.hold_syncs(false);
    let _ = voting.answer().await;
    stage.until(|node| node.standing().full).await;
    assert_eq!(stage.durable(|log| log.chosen()), 0);
    disk.limit_bytes(None);
    stage.until(|node| !node.standing().full).await;
    assert_eq!((stage.durable(|log| log.chosen()), stage.applied()), (3, 3));
    assert_eq!(puppets[0].sync(1).await.rows.len(), 3, "no round is missing");
    puppets[0].commit(4, 4, &entry(4)).await.unwrap();
    stage.until(|node| node.standing().applied == 4).await;
}

/// Whoever leads, and alone: writes go on by themselves when there is room, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn d13_a_node_whose_disk_was_full_goes_on_by_itself() {
    for (nodes, victim_leads) in [(1, true), (3, true), (3, false)] {
        let cluster = Cluster::<Item>::start(nodes).await.unwrap();
        let leader = cluster.leader().await.unwrap();
        let victim = if victim_leads { leader } else { (leader + 1) % nodes };
        let other = (victim + 1) % nodes;
        let mut events = cluster.node(victim).events();
        let disk = cluster.log_disk(victim);
        disk.limit_bytes(Some(disk.bytes_used()));
        let large = |id| Item { id, name: "x".repeat(50_000) };
        let mut taken = Vec::new();
        let node = cluster.running(victim);
        let full = || node.standing().full;
        for id in 0.. {
            if full() {
                break;
            }
            if cluster.node(other).put_record(large(id)).await.is_ok() {
                taken.push(id);
            }
        }
        if nodes > 1 {
            put_at_last(&cluster, other, 1_000).await;
            taken.push(1_000);
        }
        let refused = cluster.node(victim).put_record(item(2_000)).await.unwrap_err();
        assert!(matches!(refused, Error::Storage { .. }) && !refused.may_have_happened(), "{refused}");
        disk.limit_bytes(None);
        until(|| !full()).await;
        put_at_last(&cluster, victim, 2_001).await;
        taken.push(2_001);
        cluster.converged().await.unwrap();
        for id in taken {
            assert!(cluster.node(victim).get_record::<Item>(id).await.unwrap().is_some(), "{id} of {nodes}");
        }
        assert_eq!(cluster.node(victim).get_record::<Item>(2_000_u64).await.unwrap(), None);
        assert_eq!(cluster.node(victim).status().await.unwrap().role, Role::Voter);
        let mut told = Vec::new();
        while let Some(event) = events.next().now_or_never().flatten() {
            told.extend(Some(event).filter(|event| matches!(event, Event::DiskFull | Event::DiskWritable)));
        }
        assert_eq!((told.first(), told.last()), (Some(&Event::DiskFull), Some(&Event::DiskWritable)));
        cluster.shutdown().await.unwrap();
    }
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
        // Not in the epoch in which its disk failed it: the next one names it anew.
        let votes = cluster.node(victim).status().await.unwrap().role == Role::Voter;
        assert!(!votes || cluster.running_standing(victim).epoch > Epoch(0));
        cluster.shutdown().await.unwrap();
    }
}
