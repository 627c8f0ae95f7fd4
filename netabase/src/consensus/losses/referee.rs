//! Everything that passes between the nodes of a cluster under faults, held against the rules of Paxos.
//!
//! Losses 1 and 5 showed as two entries under one round and ballot, all of them as two entries chosen for one round.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libp2p::PeerId;

use super::stage::{item, until};
use crate::command::EntryId;
use crate::consensus::id::{Ballot, Round};
use crate::consensus::message::{Envelope, PaxosRequest};
use crate::error::Error;
use crate::handle::Netabase;
use crate::network::Channel;
use crate::testing::fixture::Item;
use crate::testing::{Cluster, Passing, Unsynced};

#[derive(Debug, Default)]
struct Referee {
    campaigns: BTreeMap<Ballot, PeerId>,
    /// The ballots under which something was proposed.
    used: BTreeSet<Ballot>,
    proposed: BTreeMap<(Round, Ballot), EntryId>,
    chosen: BTreeMap<Round, EntryId>,
    faults: Vec<String>,
}

impl Referee {
    fn see(&mut self, passing: &Passing<'_>) {
        if passing.answer || passing.channel != Channel::Paxos {
            return;
        }
        let request = Envelope::<PaxosRequest>::decode(passing.payload).expect("nodes send what can be read").body;
        match request {
            PaxosRequest::Prepare { ballot, .. } => {
                // A ballot whose promise was lost with the power may be campaigned with again: nothing was proposed
                // under it.
                if self.used.contains(&ballot) {
                    self.faults.push(format!("another election under ballot {ballot}"));
                }
                if *self.campaigns.entry(ballot).or_insert(passing.from) != passing.from {
                    self.faults.push(format!("two candidates under ballot {ballot}"));
                }
            }
            PaxosRequest::Propose { round, ballot, entry } => {
                self.used.insert(ballot);
                if *self.proposed.entry((round, ballot)).or_insert(entry.id) != entry.id {
                    self.faults.push(format!("two entries in round {round} under ballot {ballot}"));
                }
                if !self.campaigns.contains_key(&ballot) {
                    self.faults.push(format!("a proposal under ballot {ballot}, which nobody campaigned with"));
                }
            }
            PaxosRequest::Commit { round, entry, .. } => self.choose(round, entry.id),
            PaxosRequest::CommitById { round, id, .. } => self.choose(round, id),
        }
    }

    fn choose(&mut self, round: Round, id: EntryId) {
        if *self.chosen.entry(round).or_insert(id) != id {
            self.faults.push(format!("two entries chosen for round {round}"));
        }
    }
}

/// Writes so many items one after the other; gives those that were acknowledged.
async fn write(node: Netabase<Item>, ids: Range<u64>, count: Arc<AtomicUsize>) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for id in ids {
        match node.put_record(item(id)).await {
            Ok(_) => {
                acknowledged.push(id);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(Error::ShutDown | Error::ConnectionLost) => break,
            Err(_) => {}
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn under_faults_every_round_and_ballot_has_one_entry() {
    for seed in 0..2 {
        let mut cluster = Cluster::<Item>::start(3).seed(seed).await.unwrap();
        let referee = Arc::new(Mutex::new(Referee::default()));
        let sees = Arc::clone(&referee);
        cluster.fabric().set_filter(Some(Box::new(move |passing| {
            sees.lock().unwrap_or_else(PoisonError::into_inner).see(passing);
            true
        })));
        // The ballot that leads already was campaigned with before anybody looked.
        let leader = cluster.leader().await.unwrap();
        cluster.crash_leaving(leader, Unsynced::Torn { seed }).await;
        cluster.restart(leader).await.unwrap();
        cluster.leader().await.unwrap();
        cluster.delay_messages(Duration::ZERO..Duration::from_millis(3));
        cluster.lose_messages(2);
        let mut acknowledged = Vec::new();
        for turn in 0..5 {
            let count = Arc::new(AtomicUsize::new(0));
            let writers: Vec<_> = (0..3)
                .map(|place| {
                    let first = turn * 1_000 + place * 100;
                    let node = cluster.node(usize::try_from(place).unwrap());
                    tokio::spawn(write(node, first..first + 20, Arc::clone(&count)))
                })
                .collect();
            until(|| count.load(Ordering::Relaxed) >= 15).await;
            let leader = cluster.leader().await.unwrap();
            cluster.crash_leaving(leader, Unsynced::Torn { seed: seed + turn }).await;
            for writer in writers {
                acknowledged.extend(writer.await.unwrap());
            }
            cluster.restart(leader).await.unwrap();
        }
        cluster.lose_messages(0);
        cluster.converged().await.unwrap();
        cluster.fabric().set_filter(None);
        for place in 0..3 {
            for id in &acknowledged {
                let read = cluster.node(place).get_record::<Item>(*id).await.unwrap();
                assert_eq!(read, Some(item(*id)), "seed {seed}, node {place}");
            }
        }
        let referee = std::mem::take(&mut *referee.lock().unwrap_or_else(PoisonError::into_inner));
        assert_eq!(referee.faults, Vec::<String>::new(), "seed {seed}");
        assert!(referee.campaigns.len() >= 5 && referee.chosen.len() >= 15, "it saw what there was to see");
        cluster.shutdown().await.unwrap();
    }
}
