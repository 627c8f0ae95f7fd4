//! Everything that passes between the nodes of a cluster under faults, held against the rules of Paxos.
//!
//! Losses 1 and 5 showed as two entries under one round and ballot, all of them as two entries chosen for one round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libp2p::PeerId;

use super::stage::item;
use crate::command::EntryId;
use crate::consensus::id::{Ballot, Round};
use crate::consensus::message::{Envelope, PaxosRequest};
use crate::network::Channel;
use crate::testing::fixture::Item;
use crate::testing::{Cluster, Passing, Unsynced};

#[derive(Debug, Default)]
struct Referee {
    campaigns: BTreeMap<Ballot, (PeerId, Round)>,
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
            PaxosRequest::Prepare { round, ballot } => {
                let campaign = (passing.from, round);
                if *self.campaigns.entry(ballot).or_insert(campaign) != campaign {
                    self.faults.push(format!("two elections under ballot {ballot}"));
                }
            }
            PaxosRequest::Propose { round, ballot, entry } => {
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

#[tokio::test(flavor = "multi_thread")]
async fn under_faults_every_round_and_ballot_has_one_entry() {
    for seed in 0..2 {
        let mut cluster = Cluster::<Item>::start_with(3, seed, Default::default(), Default::default()).await.unwrap();
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
        cluster.lose_messages(20);
        let mut acknowledged = Vec::new();
        for turn in 0..4_u64 {
            for step in 0..15 {
                let id = turn * 100 + step;
                let place = usize::try_from(id % 3).unwrap();
                if cluster.node(place).put_record(item(id)).await.is_ok() {
                    acknowledged.push(id);
                }
            }
            let leader = cluster.leader().await.unwrap();
            cluster.crash_leaving(leader, Unsynced::Torn { seed: seed + turn }).await;
            if cluster.node((leader + 1) % 3).put_record(item(turn * 100 + 50)).await.is_ok() {
                acknowledged.push(turn * 100 + 50);
            }
            cluster.restart(leader).await.unwrap();
        }
        cluster.lose_messages(0);
        cluster.converged().await.unwrap();
        for place in 0..3 {
            for id in &acknowledged {
                let read = cluster.node(place).get_record::<Item>(*id).await.unwrap();
                assert_eq!(read, Some(item(*id)), "seed {seed}, node {place}");
            }
        }
        let referee = referee.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(referee.faults, Vec::<String>::new(), "seed {seed}");
        assert!(referee.campaigns.len() >= 4 && !referee.chosen.is_empty(), "it saw what there was to see");
        cluster.shutdown().await.unwrap();
    }
}
