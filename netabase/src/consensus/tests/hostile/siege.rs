//! Two real nodes of three founders, and what must hold of them whatever the third sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use tokio::task::JoinHandle;

use super::isolated::{panics, resident_bytes};
use super::voter::{Asked, Voter};
use crate::network::Identity;
use crate::node::Tuning;
use crate::testing::fixture::Item;
use crate::{Netabase, Receipt, Role};

/// How long a leader may take to be found, and everything else that is waited for: a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long a write may take once there is a leader.
const WRITE_MAX: Duration = Duration::from_secs(2);
const GROWTH_BYTES_MAX: usize = 50 << 20;
/// How long is watched what must not happen again and again.
const WHILE: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_millis(10);

pub(super) struct Siege {
    pub(super) nodes: [Netabase<Item>; 2],
    pub(super) voter: Voter,
    _directories: [tempfile::TempDir; 2],
    next: u64,
    resident: usize,
}

impl Siege {
    /// Two nodes with a leader, and the hostile voter, which has greeted both.
    pub(super) async fn start() -> Siege {
        let identities = [(); 3].map(|()| Identity::generate());
        let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
        // Only addresses that are known by then are real; who knows one dials.
        let mut known: [Vec<Multiaddr>; 3] = [(); 3].map(|()| Vec::new());
        let mut nodes = Vec::new();
        for (place, directory) in directories.iter().enumerate() {
            let node = Netabase::<Item>::start()
                .data_dir(directory.path())
                .identity(identities[place].clone())
                .listen("/ip4/127.0.0.1/tcp/0")
                .listen("/ip4/127.0.0.1/udp/0/quic-v1")
                .founders(founders(&identities, &known))
                .tuning(Tuning::default().request_timeout(Duration::from_secs(10)))
                .await
                .unwrap();
            known[place] = node.status().await.unwrap().listen_addresses;
            nodes.push(node);
        }
        let nodes: [Netabase<Item>; 2] = nodes.try_into().unwrap();
        let honest = [0, 1].map(|place| (nodes[place].peer_id(), known[place].clone()));
        let voter = Voter::start(&identities[2], honest).await;
        let mut siege = Siege { nodes, voter, _directories: directories, next: 0, resident: 0 };
        for _ in 0..20 {
            siege.stands("the start").await;
        }
        siege.resident = resident_bytes();
        siege
    }

    pub(super) fn peers(&self) -> [PeerId; 2] {
        [0, 1].map(|place| self.nodes[place].peer_id())
    }

    /// The last round that both have applied, at least.
    pub(super) async fn applied(&self) -> u64 {
        let mut applied = u64::MAX;
        for node in &self.nodes {
            applied = applied.min(node.status().await.unwrap().applied_round);
        }
        applied
    }

    /// The round at which both stand while nobody writes.
    pub(super) async fn settled(&self) -> u64 {
        let same = until(async || {
            let [one, other] = [self.nodes[0].status().await.unwrap(), self.nodes[1].status().await.unwrap()];
            (one.applied_round == other.applied_round).then_some(one.applied_round)
        });
        same.await.expect("the nodes do not get to the same round")
    }

    /// How often the honest nodes lose sight of their leader in a while.
    pub(super) async fn leaders_lost(&self) -> usize {
        let (started, mut lost, mut seen) = (Instant::now(), 0, [None, None]);
        let mut again = tokio::time::interval(EVERY);
        while started.elapsed() < WHILE {
            for (node, seen) in self.nodes.iter().zip(&mut seen) {
                let before = std::mem::replace(seen, node.status().await.unwrap().leader);
                lost += usize::from(before.is_some() && *seen != before);
            }
            again.tick().await;
        }
        lost
    }

    /// How often the honest nodes ask the voter for rows in a while.
    pub(super) async fn pages_asked_for(&self) -> usize {
        let pages = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&pages);
        self.voter.conduct(move |_, asked| {
            counting.fetch_add(usize::from(matches!(asked, Asked::Sync(_))), Ordering::Relaxed);
            None
        });
        tokio::time::sleep(WHILE).await;
        self.voter.behave();
        pages.load(Ordering::Relaxed)
    }

    /// The place of the node that both follow.
    pub(super) async fn leader(&self) -> usize {
        until(async || self.leader_now().await).await.expect("the honest nodes agree on no leader")
    }

    async fn leader_now(&self) -> Option<usize> {
        let leader = self.nodes[0].status().await.unwrap().leader?;
        let agreed = self.nodes[1].status().await.unwrap().leader == Some(leader);
        self.peers().iter().position(|peer| *peer == leader).filter(|_| agreed)
    }

    /// Both honest nodes take a write in time once there is a leader, and are as they were.
    pub(super) async fn stands(&mut self, after: &str) {
        let started = Instant::now();
        let mut outcome = Err("no leader".to_owned());
        // A leader may be lost again while a write is under way: then the next one counts.
        while outcome.is_err() && started.elapsed() < DEADLINE {
            let leader = self.leader().await;
            outcome = self.write(leader).await;
        }
        assert_eq!(outcome, Ok(()), "after {after}");
        self.check(after).await;
        if after != "the start" {
            println!("{:>6} ms, {:>3} MiB  {after}", started.elapsed().as_millis(), self.growth_bytes() >> 20);
        }
    }

    async fn write(&mut self, leader: usize) -> Result<(), String> {
        for place in [leader, 1 - leader] {
            self.next += 1;
            let item = Item { id: self.next, name: format!("at {place}") };
            let written = tokio::time::timeout(WRITE_MAX, self.nodes[place].put_record(item.clone())).await;
            match written {
                Ok(Ok(_)) => {}
                other => return Err(format!("a write at node {place}, the leader is {leader}: {other:?}")),
            }
            assert_eq!(self.nodes[place].get_record::<Item>(item.id).await.unwrap(), Some(item));
        }
        Ok(())
    }

    /// A write at each node that nobody waits for yet.
    pub(super) fn writes_under_way(&mut self) -> Vec<JoinHandle<crate::Result<Receipt>>> {
        let mut write = |node: &Netabase<Item>| {
            self.next += 1;
            tokio::spawn(node.put_record(Item { id: self.next, name: "under way".into() }))
        };
        self.nodes.iter().map(&mut write).collect()
    }

    async fn check(&self, after: &str) {
        assert_eq!(panics(), 0, "a node panicked after {after}");
        for node in &self.nodes {
            let status = node.status().await.unwrap();
            assert_eq!(status.role, Role::Voter, "a node gave up its vote after {after}");
            assert_eq!(status.keeper_restarts, 0, "a keeper died after {after}");
        }
        let growth = self.growth_bytes();
        assert!(self.resident == 0 || growth < GROWTH_BYTES_MAX, "the nodes grew by {growth} bytes after {after}");
    }

    fn growth_bytes(&self) -> usize {
        resident_bytes().saturating_sub(self.resident)
    }

    /// The last look: both hold the same, and stop in order.
    pub(super) async fn end(mut self) {
        self.stands("everything").await;
        let same = until(async || {
            let [one, other] = [self.nodes[0].state_hash().await.unwrap(), self.nodes[1].state_hash().await.unwrap()];
            assert!(one.round != other.round || one == other, "the nodes differ: {one} and {other}");
            (one.round == other.round).then_some(())
        });
        same.await.expect("the nodes do not get to the same round");
        for node in self.nodes {
            node.shutdown().await.unwrap();
        }
        assert_eq!(panics(), 0);
    }
}

fn founders(identities: &[Identity; 3], known: &[Vec<Multiaddr>; 3]) -> Vec<String> {
    let address = |place: usize| known[place].first().map_or("/ip4/127.0.0.1/tcp/1".to_owned(), ToString::to_string);
    (0..3).map(|place| format!("{}/p2p/{}", address(place), identities[place].peer_id())).collect()
}

/// Looks until there is something to see, or the deadline is over.
pub(super) async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    let mut again = tokio::time::interval(EVERY);
    while started.elapsed() < DEADLINE {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        again.tick().await;
    }
    None
}
