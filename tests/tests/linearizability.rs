//! Histories of concurrent calls on three nodes, while nodes lose their power and do not hear each other, are
//! linearizable: puts, inserts, removals, linearizable reads and transactions. The same harness finds local reads that are
//! passed off as linearizable.
//!
//! `NETABASE_SEED` names the first seed, `NETABASE_LINEARIZE_SEEDS` (10) sets how many are tried.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use netabase::testing::{Cluster, Unsynced};
use netabase::{Error, Netabase, NetabaseSchema, StoreKind, Tuning, Tx};
use netabase_tests::Random;
use netabase_tests::linearize::{self, Call, Op, Outcome, Registers, Violation};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const NODES: usize = 3;
const CLIENTS: usize = 6;
const KEYS: u64 = 3;
const FAULTS: usize = 4;
/// So much has to happen before the next thing goes wrong.
const CALLS_BETWEEN: usize = 60;
/// How long that may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Seeds that run beside each other: most of a run is waiting.
const AT_ONCE: u64 = 4;
/// Within so many runs, local reads must have been caught.
const RUNS_TO_CATCH: u64 = 5;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Cell {
    #[netabase(key)]
    key: u64,
    value: u64,
}

/// What clients read with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reads {
    Linearizable,
    Local,
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_with_faults_are_linearizable() {
    let seeds = std::env::var("NETABASE_LINEARIZE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10);
    let (first, _) = Random::from_environment();
    let mut runs = JoinSet::new();
    for n in 0..seeds {
        if n >= AT_ONCE {
            runs.join_next().await.expect("runs are under way").expect("a run does not panic");
        }
        let seed = first.wrapping_add(n);
        runs.spawn(async move {
            let (calls, verdict) = run(seed, Reads::Linearizable).await;
            let unknown = calls.iter().filter(|call| call.returned.is_none()).count();
            println!("seed {seed}: {} calls, {unknown} of them without a known outcome", calls.len());
            if let Err(violation) = verdict {
                panic!("seed {seed}: {violation}");
            }
        });
    }
    while let Some(ended) = runs.join_next().await {
        ended.expect("a run does not panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn local_reads_passed_off_as_linearizable_are_found() {
    let (first, _) = Random::from_environment();
    for seed in (0..RUNS_TO_CATCH).map(|n| first.wrapping_add(n)) {
        let (calls, verdict) = run(seed, Reads::Local).await;
        if let Err(violation) = verdict {
            println!("seed {seed}: found among {} calls, in a part of {}", calls.len(), violation.calls.len());
            return;
        }
    }
    panic!("{RUNS_TO_CATCH} runs of local reads from seed {first} on look linearizable");
}

async fn run(seed: u64, reads: Reads) -> (Vec<Call<Registers>>, Result<(), Violation>) {
    let mut random = Random::new(seed);
    let tuning = Tuning::default().request_timeout(Duration::from_secs(1));
    let mut cluster = Cluster::<Cell>::start_with(NODES, seed, tuning, StoreKind::Redb).await.expect("it starts");
    let shared = Arc::new(Shared {
        nodes: RwLock::new((0..NODES).map(|node| cluster.node(node)).collect()),
        stop: AtomicBool::new(false),
        values: AtomicU64::new(0),
        started: Instant::now(),
        calls: Mutex::default(),
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let random = Random::new(random.next_number());
        clients.spawn(Client { number, random, reads, shared: Arc::clone(&shared) }.run());
    }
    for _ in 0..FAULTS {
        shared.calls_more(CALLS_BETWEEN).await;
        break_something(&mut cluster, &mut random).await;
        pass(&mut random, 50, 400).await;
        cluster.heal();
        cluster.lose_messages(0);
        cluster.delay_messages(Duration::ZERO..Duration::ZERO);
        for node in 0..NODES {
            cluster.restart(node).await.expect("a node starts again");
            shared.nodes.write().expect("nobody panics")[node] = cluster.node(node);
        }
    }
    shared.calls_more(CALLS_BETWEEN).await;
    shared.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client does not panic");
    }
    cluster.shutdown().await.expect("it stops");
    let calls = std::mem::take(&mut *shared.calls.lock().expect("nobody panics"));
    let verdict = linearize::check(&calls);
    (calls, verdict)
}

async fn break_something(cluster: &mut Cluster<Cell>, random: &mut Random) {
    let node = random.below(NODES as u64) as usize;
    let torn = Unsynced::Torn { seed: random.next_number() };
    match random.below(7) {
        0 => cluster.crash_leaving(node, torn).await,
        1 => {
            if let Ok(leader) = cluster.leader().await {
                cluster.crash(leader).await;
            }
        }
        2 => cluster.crash_all(torn).await,
        3 => cluster.partition([&[node], &[(node + 1) % NODES, (node + 2) % NODES]]),
        4 => {
            if let Ok(leader) = cluster.leader().await {
                cluster.partition([&[leader], &[(leader + 1) % NODES, (leader + 2) % NODES]]);
            }
        }
        5 => cluster.lose_messages(20 + random.below(100)),
        _ => cluster.delay_messages(Duration::ZERO..Duration::from_millis(20)),
    }
}

/// Lets time pass: what happens meanwhile is what is tested, not what is waited for.
async fn pass(random: &mut Random, from: u64, more: u64) {
    tokio::time::sleep(Duration::from_millis(from + random.below(more))).await;
}

/// What the clients and the one who breaks things share.
struct Shared {
    /// The newest handle of each node.
    nodes: RwLock<Vec<Netabase<Cell>>>,
    stop: AtomicBool,
    /// Every value is written once.
    values: AtomicU64,
    started: Instant,
    calls: Mutex<Vec<Call<Registers>>>,
}

impl Shared {
    /// Waits until so many more calls have returned.
    async fn calls_more(&self, more: usize) {
        let deadline = Instant::now() + DEADLINE;
        let made = || self.calls.lock().expect("nobody panics").iter().filter(|call| call.returned.is_some()).count();
        let wanted = made() + more;
        while made() < wanted {
            if Instant::now() >= deadline {
                let nodes = self.nodes.read().expect("nobody panics").clone();
                for node in nodes {
                    println!("{:?}", node.status().await);
                }
                panic!("the cluster answers too little");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("a test ends within centuries")
    }
}

/// Calls one thing after the other, on one node.
struct Client {
    number: usize,
    random: Random,
    reads: Reads,
    shared: Arc<Shared>,
}

impl Client {
    async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            pass(&mut self.random, 0, 10).await;
            let db = self.shared.nodes.read().expect("nobody panics")[self.number % NODES].clone();
            let (key, other) = (self.random.below(KEYS), self.random.below(KEYS));
            let value = self.shared.values.fetch_add(1, Ordering::Relaxed);
            let called = self.shared.now();
            let (op, result) = match self.random.below(10) {
                0..4 => (Op::Get(key), self.get(&db, key).await),
                4..6 => (Op::Put(key, value), existed(db.put_record(Cell { key, value }).await)),
                6 => (Op::Insert(key, value), existed(db.insert_record(Cell { key, value }).await)),
                7 => (Op::Remove(key), existed(db.remove_record::<Cell>(key).await)),
                _ => transact(&db, key, other, value).await,
            };
            let returned = match result {
                Ok(outcome) => Some((self.shared.now(), outcome)),
                Err(Error::AlreadyExists { .. }) => Some((self.shared.now(), Outcome::Refused)),
                Err(error) if error.may_have_happened() => None,
                // It did not happen and never will: if that is not true, somebody reads it.
                Err(_) => continue,
            };
            let call = Call { client: self.number, op, called, returned };
            self.shared.calls.lock().expect("nobody panics").push(call);
        }
    }

    async fn get(&self, db: &Netabase<Cell>, key: u64) -> netabase::Result<Outcome> {
        let found = match self.reads {
            Reads::Linearizable => db.linearizable().get_record::<Cell>(key).await,
            Reads::Local => db.get_record::<Cell>(key).await,
        };
        assert!(!found.as_ref().is_err_and(Error::may_have_happened), "a read never may have happened: {found:?}");
        found.map(|cell| Outcome::Value(cell.map(|cell| cell.value)))
    }
}

fn existed(receipt: netabase::Result<netabase::Receipt>) -> netabase::Result<Outcome> {
    receipt.map(|receipt| Outcome::Existed(receipt.existed()))
}

/// Moves what is under one key to another one, and writes a new value in its place.
async fn transact(db: &Netabase<Cell>, from: u64, to: u64, value: u64) -> (Op, netabase::Result<Outcome>) {
    // What the last run has read and written: the ones before it met a conflict and did not happen.
    let last = Mutex::new((Vec::new(), Vec::new()));
    let done = db.transaction(async |tx: Tx<Cell>| {
        let mut reads = Vec::new();
        for key in [from, to] {
            reads.push((key, tx.get_record::<Cell>(key).await?.map(|cell| cell.value)));
        }
        let mut writes = Vec::new();
        if to != from {
            match reads[0].1 {
                Some(moved) => tx.put_record(Cell { key: to, value: moved })?,
                None => tx.remove_record::<Cell>(to)?,
            }
            writes.push((to, reads[0].1));
        }
        tx.put_record(Cell { key: from, value })?;
        writes.push((from, Some(value)));
        *last.lock().expect("nobody panics") = (reads, writes);
        Ok(())
    });
    let done = done.await;
    let (reads, writes) = last.into_inner().expect("nobody panics");
    (Op::Transact { reads, writes }, done.map(|_| Outcome::Committed))
}
