//! Rounds and epochs (DESIGN): what ends with a seal, what survives it, and what nobody may say any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::puppet::Puppet;
use super::stage::{Stage, eager, item, opening, patient, put_at_last, putting, session, until};
use crate::command::{Batch, MemberId, Seal};
use crate::consensus::fixture::{entry, entry_of, row};
use crate::consensus::id::{Epoch, Round};
use crate::consensus::log::Mirror;
use crate::consensus::message::{Envelope, PaxosAnswer, PaxosRequest};
use crate::network::Channel;
use crate::node::Role;
use crate::node::Tuning;
use crate::testing::fixture::Item;
use crate::testing::{Cluster, Unsynced};

/// The entry that ends an epoch and leaves the voters as they are; who campaigns first is the first puppet.
fn sealing(stage: &Stage, epoch: u64, first: &Puppet) -> crate::command::Entry {
    let voters = stage.voters.iter().map(|peer| MemberId::new(peer.to_bytes())).collect();
    let first = MemberId::new(first.peer.to_bytes());
    entry_of(1_000 + epoch, Batch::seal(Seal { epoch, voters, first }))
}

async fn entered(stage: &Stage, puppets: &[Puppet], epoch: u64) {
    until(|| stage.node().standing().epoch == Epoch(epoch)).await;
    for puppet in puppets {
        puppet.script().greeting.epoch = Epoch(epoch);
        puppet.greet().await;
    }
}

/// Has the node accept and apply these entries from round 1 on, for the first puppet under ballot 4. It hears last what was
/// chosen first, so that it applies all of them at once.
async fn decided(puppet: &Puppet, entries: &[crate::command::Entry]) {
    assert!(matches!(puppet.prepare(1, 4).await, Ok(PaxosAnswer::Promise(_))));
    for (round, entry) in (1..).zip(entries) {
        assert_eq!(puppet.propose(round, 4, entry).await, Ok(PaxosAnswer::Accepted));
    }
    for (round, entry) in (1..).zip(entries).collect::<Vec<_>>().into_iter().rev() {
        let _ = puppet.commit(round, 4, entry).await;
    }
}

/// The round after the seal is decided twice: what the old epoch chose for it never was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_behind_a_seal_is_void() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    let seal = sealing(&stage, 0, &puppets[0]);
    let void = putting(3, session(1), 0, &item(3));
    decided(&puppets[0], &[opening(1), seal.clone(), void]).await;
    entered(&stage, &puppets, 1).await;
    assert_eq!(stage.applied(), 2);
    assert_eq!(stage.handle().get_record::<Item>(3_u64).await.unwrap(), None);
    let served = puppets[1].sync(1).await;
    assert_eq!((served.rows.len(), served.through), (2, 2), "a void row is served");

    let other = putting(4, session(1), 0, &item(4));
    assert_eq!(puppets[0].prepare(3, 1).await, Ok(PaxosAnswer::Promise(Vec::new())), "a void row is told");
    assert_eq!(puppets[0].propose(3, 1, &other).await, Ok(PaxosAnswer::Accepted));
    puppets[0].commit(3, 1, &other).await.unwrap();
    until(|| stage.applied() == 3).await;
    assert_eq!(stage.handle().get_record::<Item>(4_u64).await.unwrap(), Some(item(4)));
    assert_eq!(stage.handle().get_record::<Item>(3_u64).await.unwrap(), None);
}

/// A node that applied a seal says nothing more in the epoch that it ended, also after a power cut.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_votes_in_an_epoch_that_it_left() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    decided(&puppets[0], &[sealing(&stage, 0, &puppets[0])]).await;
    until(|| stage.node().standing().epoch == Epoch(1)).await;
    assert!(puppets[1].prepare(2, 5).await.is_err(), "a promise in an epoch that is over");
    until(|| stage.durable(Mirror::chosen) == 1).await;
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert_eq!(stage.node().standing().epoch, Epoch(1));
    assert!(puppets[1].prepare(2, 5).await.is_err(), "it forgot that it left");
    // It tells whoever is behind where it is.
    assert_eq!(puppets[1].greet().await.epoch, Epoch(1));
}

/// Ballots begin anew with an epoch, and bind in it as in the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_promise_binds_within_its_epoch_only() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    decided(&puppets[0], &[sealing(&stage, 0, &puppets[0])]).await;
    entered(&stage, &puppets, 1).await;
    assert_eq!(puppets[0].prepare(2, 1).await, Ok(PaxosAnswer::Promise(Vec::new())), "ballot 4 was of another epoch");
    assert_eq!(puppets[1].prepare(2, 5).await, Ok(PaxosAnswer::Promise(Vec::new())));
    assert_eq!(puppets[1].propose(2, 5, &entry(2)).await, Ok(PaxosAnswer::Accepted));
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert_eq!(puppets[0].prepare(2, 4).await, Ok(PaxosAnswer::Supplanted { ballot: 5 }));
    assert_eq!(puppets[0].prepare(2, 7).await, Ok(PaxosAnswer::Promise(vec![row(2, 5, &entry(2))])));
}

/// A seal names its epoch: another one, or the same again, ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_ends_its_own_epoch_only() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    let early = sealing(&stage, 1, &puppets[0]);
    decided(&puppets[0], &[early.clone(), sealing(&stage, 0, &puppets[0])]).await;
    entered(&stage, &puppets, 1).await;
    assert_eq!(stage.applied(), 2, "the first one was an entry like any other");
    let late = sealing(&stage, 0, &puppets[0]);
    assert!(matches!(puppets[0].prepare(3, 1).await, Ok(PaxosAnswer::Promise(_))));
    puppets[0].propose(3, 1, &late).await.unwrap();
    puppets[0].commit(3, 1, &late).await.unwrap();
    until(|| stage.applied() == 3).await;
    assert_eq!(stage.node().standing().epoch, Epoch(1));
}

/// Where a seal may have been chosen the next epoch may have a leader: nobody vouches for this one's.
#[tokio::test(flavor = "multi_thread")]
async fn who_accepted_a_seal_vouches_for_nobody_until_its_round_is_decided() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    assert!(matches!(puppets[0].prepare(1, 4).await, Ok(PaxosAnswer::Promise(_))));
    assert!(puppets[0].confirm(4).await.is_some());
    let seal = sealing(&stage, 0, &puppets[0]);
    assert_eq!(puppets[0].propose(1, 4, &seal).await, Ok(PaxosAnswer::Accepted));
    assert!(puppets[0].confirm(4).await.is_none(), "it vouches beside a seal");
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert!(puppets[0].confirm(4).await.is_none(), "it forgot the seal");
    // Another entry is chosen for the round.
    assert!(matches!(puppets[1].prepare(1, 5).await, Ok(PaxosAnswer::Promise(_))));
    puppets[1].propose(1, 5, &entry(1)).await.unwrap();
    puppets[1].commit(1, 5, &entry(1)).await.unwrap();
    until(|| stage.applied() == 1).await;
    assert!(puppets[1].confirm(5).await.is_some());
}

/// The one campaigns that the seal names; the others wait as if they heard it.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_named_first_campaigns_at_once() {
    let (stage, mut puppets) = Stage::start(3, 0, patient()).await;
    let voters: Vec<MemberId> = stage.voters.iter().map(|peer| MemberId::new(peer.to_bytes())).collect();
    let seal = Seal { epoch: 0, voters, first: MemberId::new(stage.me().to_bytes()) };
    decided(&puppets[0], &[entry_of(7, Batch::seal(seal))]).await;
    entered(&stage, &puppets, 1).await;
    // Its timing alone would have it wait for an hour.
    let asked = puppets[0].asked_to_promise().await;
    assert_eq!(asked.prepare().0, 2);
}

/// What lags gets no vote, however long it has been invited.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_is_no_voter_yet() {
    let mut cluster = Cluster::<Item>::start(1).await.unwrap();
    let joining = cluster.join_later(0, Role::Voter).await.unwrap();
    // It hears nothing of what was decided before.
    let (heard, beats, to) = (Arc::new(AtomicUsize::new(0)), Channel::Heartbeat, cluster.peer_id(joining));
    let count = Arc::clone(&heard);
    cluster.fabric().set_filter(Some(Box::new(move |passing| {
        count.fetch_add(usize::from(passing.to == to && passing.channel == beats), Ordering::Relaxed);
        passing.channel != Channel::Sync
    })));
    for id in 0..600 {
        cluster.node(0).put_record(item(id)).await.unwrap();
    }
    cluster.restart(joining).await.unwrap();
    cluster.node(0).put_record(item(1_000)).await.unwrap();
    // Some of its answers have come back, and the leader has looked at them.
    until(|| heard.load(Ordering::Relaxed) > 20).await;
    assert_eq!(cluster.node(0).status().await.unwrap().members.len(), 1);
    assert_eq!(cluster.node(joining).status().await.unwrap().role, Role::Learner);
    cluster.fabric().set_filter(None);
    until(|| cluster.running_standing(joining).votes).await;
    assert_eq!(cluster.node(joining).get_record::<Item>(1_000_u64).await.unwrap(), Some(item(1_000)));
    cluster.converged().await.unwrap();
    cluster.shutdown().await.unwrap();
}

/// Of two voters the leader is removed, and the other one hears of no commit: it learns the seal from the one that left.
#[tokio::test(flavor = "multi_thread")]
async fn who_left_serves_until_the_next_epoch_runs() {
    let tuning = Tuning::default().request_timeout(Duration::from_secs(20));
    let mut cluster = Cluster::<Item>::start(1).tuning(tuning).await.unwrap();
    let other = cluster.join(0, Role::Voter).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let stays = if leader == 0 { other } else { 0 };
    let to = cluster.peer_id(stays);
    let fetches = Arc::new(AtomicBool::new(true));
    let may_fetch = Arc::clone(&fetches);
    cluster.fabric().set_filter(Some(Box::new(move |passing| {
        let commits = || {
            let request = Envelope::<PaxosRequest>::decode(passing.payload).map(|envelope| envelope.body);
            matches!(request, Ok(PaxosRequest::Commit { .. } | PaxosRequest::CommitById { .. }))
        };
        let heard = passing.to != to || passing.answer || passing.channel != Channel::Paxos || !commits();
        heard && (passing.channel != Channel::Sync || may_fetch.load(Ordering::Relaxed))
    })));
    cluster.node(leader).put_record(item(1)).await.unwrap();
    until(|| cluster.replica(stays).applied() == cluster.replica(leader).applied()).await;
    fetches.store(false, Ordering::Relaxed);
    let removing = tokio::spawn({
        let (db, leaves) = (cluster.node(stays), cluster.peer_id(leader));
        async move { db.remove_member(leaves).await }
    });
    let left = Arc::clone(cluster.running(leader));
    until(|| cluster.replica(leader).roster().epoch == 2).await;
    let alone = tokio::time::timeout(Duration::from_secs(1), until(|| left.failure().is_some())).await;
    assert!(alone.is_err(), "it stops while nobody else knows how its epoch ended");
    fetches.store(true, Ordering::Relaxed);
    removing.await.unwrap().unwrap();
    until(|| left.failure().is_some()).await;
    cluster.crash(leader).await;
    put_at_last(&cluster, stays, 2).await;
    assert_eq!(cluster.node(stays).get_record::<Item>(1_u64).await.unwrap(), Some(item(1)));
    assert_eq!(cluster.node(stays).status().await.unwrap().members.len(), 1);
    cluster.crash(stays).await;
}

/// A leader that seals takes no command in the epoch that ends; what waits is applied once, in the next.
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_meet_a_seal_are_applied_once_in_the_next_epoch() {
    let mut cluster = Cluster::<Item>::start(3).tuning(eager_writes()).await.unwrap();
    let writers: Vec<_> = (0..3_u64)
        .map(|writer| {
            let db = cluster.node(writer as usize);
            tokio::spawn(async move {
                for n in 0..300 {
                    let receipt = db.insert_record(item(writer * 1_000 + n)).await;
                    assert!(receipt.is_ok(), "applied twice, or not at all: {receipt:?}");
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let joined = cluster.join(0, Role::Voter).await.unwrap();
        cluster.node(0).remove_member(cluster.peer_id(joined)).await.unwrap();
        cluster.crash(joined).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    cluster.converged().await.unwrap();
    let round: Round = cluster.node(0).status().await.unwrap().applied_round;
    assert!(cluster.running_standing(0).epoch >= Epoch(6), "round {round}");
    assert_eq!(cluster.node(1).count(<Item as crate::Record>::all()).await.unwrap(), 900);
    cluster.shutdown().await.unwrap();
}

fn eager_writes() -> Tuning {
    Tuning { request_timeout: Duration::from_secs(20), ..eager() }
}
