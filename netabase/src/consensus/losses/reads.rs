//! Linearizable reads: a leader serves only what a majority confirms after the reader came, and what is applied here.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::puppet::Puppet;
use super::stage::{Stage, eager, item, opening, patient, putting, serve, session, until};
use crate::consensus::fixture::row;
use crate::consensus::id::{Ballot, Epoch, Incarnation};
use crate::consensus::leadership::Timing;
use crate::consensus::message::{ForwardAnswer, PaxosAnswer};
use crate::error::{Error, Result};
use crate::node::Tuning;
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
    until(|| puppets.iter().all(|puppet| !puppet.script().confirms.is_empty())).await;
    let second = read(&stage, 1);
    puppets[0].probe().await;
    assert_eq!(puppets[0].script().confirms_heard, 1, "one at a time");
    puppets[0].script().confirm();
    first.await.unwrap().unwrap();
    // The next one is under way, and half of it agrees; the first one's late answer is not the missing half.
    until(|| puppets[0].script().confirms_heard > 1).await;
    puppets[0].script().holds_confirms = true;
    let third = read(&stage, 1);
    puppets[1].script().confirm();
    second.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    assert!(puppets[1].script().confirms_heard > 1, "the second reader joined the first one's confirm");
}
