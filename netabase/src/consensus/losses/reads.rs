//! Linearizable reads: a leader serves only what a majority confirms after the reader came, and what is applied here.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::puppet::Puppet;
use super::stage::{Stage, eager, item, opening, patient, putting, serve, session, until};
use crate::consensus::id::{Ballot, Epoch, Incarnation};
use crate::consensus::message::{ForwardAnswer, PaxosAnswer};
use crate::error::{Error, Result};
use crate::testing::Unsynced;
use crate::testing::fixture::Item;

fn read(stage: &Stage, id: u64) -> JoinHandle<Result<Option<Item>>> {
    tokio::spawn(stage.handle().linearizable().get_record::<Item>(id))
}

/// The first of three voters leads; also the ballot that it leads under.
async fn led() -> (Stage, Vec<Puppet>, Ballot) {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.elect(&mut puppets).await;
    until(|| !puppets[0].script().beats.is_empty()).await;
    let ballot = puppets[0].script().beats[0];
    (stage, puppets, ballot)
}

/// Waits until every puppet was asked so many times more to confirm.
async fn asked_to_confirm(puppets: &[Puppet], more: usize) {
    let before: Vec<usize> = puppets.iter().map(|puppet| puppet.script().confirms_heard).collect();
    until(|| puppets.iter().zip(&before).all(|(puppet, before)| puppet.script().confirms_heard >= before + more)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_leader_does_not_serve() {
    let (stage, mut puppets, ballot) = led().await;
    let put = tokio::spawn(stage.handle().put_record(item(1)));
    serve(&mut puppets, || put.is_finished()).await;
    // They promised another one, of which this leader has not heard.
    puppets.iter().for_each(|puppet| puppet.script().spoken = ballot + 1);
    let mut reader = read(&stage, 1);
    asked_to_confirm(&puppets, 3).await;
    assert!(!reader.is_finished(), "it serves although a majority has promised another leader");
    // One of them had not: it makes a majority with the leader.
    puppets[1].script().spoken = ballot;
    assert_eq!((&mut reader).await.unwrap().unwrap(), Some(item(1)));
    assert!(stage.node().standing().leads);
}

/// A leader that has itself promised another is no voter for its own ballot any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_promised_another_does_not_serve() {
    let (stage, puppets, ballot) = led().await;
    puppets.iter().for_each(|puppet| puppet.script().holds_confirms = true);
    let reader = read(&stage, 1);
    until(|| puppets.iter().all(|puppet| !puppet.script().confirms.is_empty())).await;
    let promise = puppets[0].prepare(stage.applied() + 1, ballot + 1).await.unwrap();
    assert!(matches!(promise, PaxosAnswer::Promise(_)), "{promise:?}");
    puppets.iter().for_each(|puppet| puppet.script().confirm());
    puppets[0].probe().await;
    assert!(!reader.is_finished(), "its own promise does not bind it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_that_began_before_the_reader_came_does_not_count() {
    let (stage, puppets, _) = led().await;
    puppets.iter().for_each(|puppet| puppet.script().holds_confirms = true);
    let first = read(&stage, 1);
    until(|| puppets.iter().all(|puppet| puppet.script().confirms_heard == 1)).await;
    let others = [read(&stage, 1), read(&stage, 2)];
    puppets[0].probe().await;
    assert_eq!(puppets[0].script().confirms_heard, 1, "one confirm at a time");
    puppets[0].script().confirm();
    first.await.unwrap().unwrap();
    // The second one has begun. The first one's late answer is not the half that it misses.
    until(|| puppets[1].script().confirms_heard == 2).await;
    let late = puppets[1].script().confirms.remove(0);
    puppets[1].script().answer_confirm(late);
    puppets[0].probe().await;
    assert!(others.iter().all(|reader| !reader.is_finished()), "they joined the confirm that was under way");
    until(|| puppets[0].script().confirms_heard == 2).await;
    puppets[0].script().confirm();
    for reader in others {
        reader.await.unwrap().unwrap();
    }
    assert_eq!(puppets[1].script().confirms_heard, 2, "who waits when a confirm starts shares it");
}

/// Two rounds are open and the second is decided first: a read may miss neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_waits_for_what_was_decided_to_be_applied() {
    let (stage, mut puppets, _) = led().await;
    let first = tokio::spawn(stage.handle().put_record(item(1)));
    serve(&mut puppets, || first.is_finished()).await;
    let applied = stage.applied();
    let put = tokio::spawn(stage.handle().put_record(item(2)));
    let mut open = Vec::new();
    for puppet in &mut puppets {
        open.push(puppet.asked_to_accept_above(applied).await);
    }
    // As long as a round is open, it takes a few commands to open the next one.
    let puts = tokio::spawn(stage.handle().put_records((3..100).map(item)));
    for puppet in &mut puppets {
        let second = puppet.asked_to_accept_above(applied + 1).await;
        assert_eq!(second.proposal().0, applied + 2);
        second.agree();
    }
    until(|| stage.durable(|log| log.accepted_from(applied + 2).count()) > 0).await;
    puppets[0].decided(applied + 2).await;
    let heard = puppets[1].script().confirms_heard;
    let reader = tokio::spawn(stage.handle().linearizable().get_records::<Item>([2, 99]));
    until(|| puppets[1].script().confirms_heard > heard).await;
    // The rest of the puts may have taken a third round, and that may be decided by now, too.
    let index = puppets[0].index().await;
    assert!(matches!(index, ForwardAnswer::Index(index) if index >= applied + 2), "a follower waits itself: {index:?}");
    puppets[0].probe().await;
    assert!(!reader.is_finished(), "it reads before a decided round is applied");
    open.into_iter().for_each(super::puppet::Asked::agree);
    serve(&mut puppets, || put.is_finished() && puts.is_finished() && reader.is_finished()).await;
    let found = reader.await.unwrap().unwrap();
    assert_eq!(found[0], Some(item(2)));
}

/// An answer from a directory that nobody met, or from another epoch, is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn answers_from_another_life_or_epoch_do_not_count() {
    let (stage, puppets, ballot) = led().await;
    puppets[1].script().spoken = ballot + 2;
    let met = puppets[0].script().greeting.clone();
    puppets[0].script().greeting.incarnation = Incarnation([7; 16]);
    let reader = read(&stage, 1);
    asked_to_confirm(&puppets, 3).await;
    assert!(!reader.is_finished(), "another life of a directory vouches");
    puppets[0].script().greeting = met.clone();
    puppets[0].script().greeting.epoch = Epoch(1);
    asked_to_confirm(&puppets, 3).await;
    assert!(!reader.is_finished(), "another epoch vouches");
    puppets[0].script().greeting = met;
    reader.await.unwrap().unwrap();
}

/// A ballot that cannot be is no answer, neither for nor against.
#[tokio::test(flavor = "multi_thread")]
async fn one_voter_that_objects_is_outvoted() {
    let (stage, puppets, _) = led().await;
    for spoken in [Ballot::MAX, 1 << 19] {
        puppets[0].script().spoken = spoken;
        read(&stage, 1).await.unwrap().unwrap();
    }
    assert!(stage.node().standing().leads);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_names_what_it_promised_also_after_a_power_cut() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    assert_eq!(puppets[0].confirm(1).await, Some(0));
    assert_eq!(puppets[1].prepare(1, 5).await, Ok(PaxosAnswer::Promise(Vec::new())));
    assert_eq!(puppets[0].confirm(1).await, Some(5));
    assert_eq!(puppets[0].confirm(2).await, None, "somebody else's ballot");
    stage.crash(Unsynced::Lost).await;
    stage.restart(&puppets).await;
    assert_eq!(puppets[0].confirm(1).await, Some(5));
}

/// The prepare is out, and its own promise not on the disk yet: from now on it is nobody else's voter.
#[tokio::test(flavor = "multi_thread")]
async fn a_voter_names_its_campaign_before_the_prepare_leaves() {
    let (stage, mut puppets) = Stage::start(3, 0, eager()).await;
    stage.log_disk().hold_syncs(true);
    puppets.iter().for_each(|puppet| puppet.script().agrees = true);
    let (_, ballot) = puppets[0].asked_to_promise().await.prepare();
    assert!(stage.durable(crate::consensus::log::Mirror::ballot) < ballot);
    assert_eq!(puppets[0].confirm(1).await, Some(ballot));
    stage.log_disk().hold_syncs(false);
}

/// Whoever must not vote vouches for nobody, but reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_vote_reads_and_does_not_vouch() {
    let (mut stage, puppets) = Stage::start(3, 0, patient()).await;
    stage.crash(Unsynced::Lost).await;
    stage.lose_log();
    stage.restart(&puppets).await;
    assert!(!stage.node().standing().votes);
    assert_eq!(puppets[0].confirm(1).await, None);
    puppets[0].script().index = ForwardAnswer::Index(0);
    puppets[0].beat(1, 0).await;
    assert_eq!(read(&stage, 1).await.unwrap().unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_reads_once_it_has_applied_the_leader_s_index() {
    let (stage, puppets) = Stage::start(3, 0, patient()).await;
    let leader = &puppets[0];
    leader.script().index = ForwardAnswer::Index(2);
    leader.beat(1, 0).await;
    let reader = read(&stage, 1);
    let entries = [opening(1), putting(2, session(1), 0, &item(1))];
    leader.commit(1, 1, &entries[0]).await.unwrap();
    until(|| stage.applied() == 1).await;
    leader.probe().await;
    assert!(!reader.is_finished(), "it reads before it has applied the index");
    leader.commit(2, 1, &entries[1]).await.unwrap();
    assert_eq!(reader.await.unwrap().unwrap(), Some(item(1)));
}

/// Who does not lead, or leads nobody, says so; a read never "may have happened".
#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_there_is_no_quorum() {
    let tuning = patient().request_timeout(Duration::from_millis(300));
    let (stage, puppets) = Stage::start(3, 0, tuning).await;
    let nobody = read(&stage, 1).await.unwrap().unwrap_err();
    assert!(matches!(nobody, Error::NoQuorum), "{nobody:?}");
    assert_eq!(puppets[1].index().await, ForwardAnswer::not_leader(None));
    puppets[0].beat(1, 0).await;
    puppets[0].script().index = ForwardAnswer::NoQuorum;
    assert!(matches!(read(&stage, 1).await.unwrap(), Err(Error::NoQuorum)));
    assert_eq!(puppets[1].index().await, ForwardAnswer::not_leader(Some(puppets[0].peer)));
}

/// What is deposed while its confirm is under way does not serve by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_steps_down_takes_its_readers_along() {
    let (stage, mut puppets, ballot) = led().await;
    puppets.iter().for_each(|puppet| puppet.script().holds_confirms = true);
    let reader = read(&stage, 1);
    until(|| puppets.iter().all(|puppet| !puppet.script().confirms.is_empty())).await;
    puppets.iter().for_each(|puppet| {
        puppet.script().agrees = false;
        puppet.script().promised = ballot + 1;
    });
    serve(&mut puppets, || !stage.node().standing().leads).await;
    puppets.iter().for_each(|puppet| puppet.script().confirm());
    puppets[0].probe().await;
    assert!(!reader.is_finished(), "it serves under a ballot that it lost");
    // The next leader tells where to read.
    puppets[0].script().index = ForwardAnswer::Index(stage.applied());
    puppets[0].beat(ballot + 1, 0).await;
    assert_eq!(reader.await.unwrap().unwrap(), None);
}
