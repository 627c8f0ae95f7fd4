//! What clients do meanwhile, and what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use netabase::testing::linearize::{Call, Op, Outcome, Registers};
use netabase::testing::{Cluster, Random};
use netabase::{Error, Netabase, NetabaseSchema, Tx};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const CLIENTS: usize = 7;
const KEYS: u64 = 3;
const TALLIES: u64 = 3;
const EMAILS: u64 = 6;
/// So much has to happen before the next thing goes wrong.
const CALLS_BETWEEN: usize = 40;
/// How long that may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub(super) struct Cell {
    #[netabase(key)]
    pub(super) key: u64,
    pub(super) value: u64,
}

/// Somebody whose address nobody else may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub(super) struct Person {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    email: String,
    #[netabase(index)]
    age: u64,
}

/// How many ticks there were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub(super) struct Tally {
    #[netabase(key)]
    pub(super) id: u64,
    pub(super) count: u64,
}

/// One of them, written in the transaction that counts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub(super) struct Tick {
    #[netabase(key)]
    pub(super) id: u64,
    #[netabase(index)]
    pub(super) tally: u64,
}

#[derive(NetabaseSchema)]
pub(super) enum Zoo {
    Cell(Cell),
    Person(Person),
    Tally(Tally),
    Tick(Tick),
}

/// What a caller was told of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Refused,
    Unknown,
}

/// What the clients were told.
pub(super) struct Done {
    pub(super) calls: Vec<Call<Registers>>,
    pub(super) ticks: BTreeMap<u64, Fate>,
}

impl Done {
    pub(super) fn unknown(&self) -> usize {
        self.calls.iter().filter(|call| call.returned.is_none()).count()
            + self.ticks.values().filter(|fate| **fate == Fate::Unknown).count()
    }
}

/// The clients at work.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// What the clients and the one who breaks things share.
struct Shared {
    /// The newest handle of each node, and one without data.
    handles: RwLock<Vec<Netabase<Zoo>>>,
    app: Netabase<Zoo>,
    stop: AtomicBool,
    /// Every value, and every tick, is written once.
    values: AtomicU64,
    returned: AtomicU64,
    started: Instant,
    calls: Mutex<Vec<Call<Registers>>>,
    ticks: Mutex<BTreeMap<u64, Fate>>,
}

impl Load {
    pub(super) async fn start(cluster: &Cluster<Zoo>, random: &mut Random) -> Self {
        let shared = Arc::new(Shared {
            handles: RwLock::new((0..cluster.len()).map(|node| cluster.node(node)).collect()),
            app: cluster.client().await.expect("somebody answers"),
            stop: AtomicBool::new(false),
            values: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            started: Instant::now(),
            calls: Mutex::default(),
            ticks: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let random = Random::new(random.next_number());
            clients.spawn(Client { number, random, shared: Arc::clone(&shared) }.run());
        }
        Load { shared, clients }
    }

    /// Waits until so many more calls have returned.
    pub(super) async fn calls_more(&self, seed: u64) {
        let deadline = Instant::now() + DEADLINE;
        let made = || self.shared.returned.load(Ordering::Relaxed) as usize;
        let wanted = made() + CALLS_BETWEEN;
        while made() < wanted {
            if Instant::now() >= deadline {
                let nodes = self.shared.handles.read().expect("nobody panics").clone();
                for node in nodes {
                    println!("{:?}", node.status().await);
                }
                panic!("seed {seed}: the cluster answers too little");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Nodes were started again: their handles are others.
    pub(super) fn follow(&self, cluster: &Cluster<Zoo>) {
        let running = (0..cluster.len()).filter(|node| cluster.is_running(*node));
        *self.shared.handles.write().expect("nobody panics") = running.map(|node| cluster.node(node)).collect();
    }

    pub(super) async fn stop(mut self) -> Done {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        let _ = self.shared.app.clone().shutdown().await;
        Done {
            calls: std::mem::take(&mut *self.shared.calls.lock().expect("nobody panics")),
            ticks: std::mem::take(&mut *self.shared.ticks.lock().expect("nobody panics")),
        }
    }
}

/// Calls one thing after the other, at one node.
struct Client {
    number: usize,
    random: Random,
    shared: Arc<Shared>,
}

impl Client {
    async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(self.random.below(8))).await;
            let db = self.handle();
            let value = self.shared.values.fetch_add(1, Ordering::Relaxed);
            match self.random.below(10) {
                0..6 => self.register(&db, value).await,
                6..8 => self.tick(&db, value).await,
                _ => self.person(&db).await,
            }
        }
    }

    fn handle(&self) -> Netabase<Zoo> {
        if self.number + 1 == CLIENTS {
            return self.shared.app.clone();
        }
        let handles = self.shared.handles.read().expect("nobody panics");
        handles[self.number % handles.len()].clone()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.shared.started.elapsed().as_nanos()).expect("a test ends within centuries")
    }

    async fn register(&mut self, db: &Netabase<Zoo>, value: u64) {
        let (key, other) = (self.random.below(KEYS), self.random.below(KEYS));
        let called = self.now();
        let (op, result) = match self.random.below(10) {
            0..4 => {
                let found = db.linearizable().get_record::<Cell>(key).await;
                (Op::Get(key), found.map(|cell| Outcome::Value(cell.map(|cell| cell.value))))
            }
            4..6 => (Op::Put(key, value), existed(db.put_record(Cell { key, value }).await)),
            6 => (Op::Insert(key, value), existed(db.insert_record(Cell { key, value }).await)),
            7 => (Op::Remove(key), existed(db.remove_record::<Cell>(key).await)),
            _ => transact(db, key, other, value).await,
        };
        let returned = match result {
            Ok(outcome) => Some((self.now(), outcome)),
            Err(Error::AlreadyExists { .. }) => Some((self.now(), Outcome::Refused)),
            Err(error) if error.may_have_happened() => None,
            // It did not happen and never will: if that is not true, somebody reads it.
            Err(_) => return,
        };
        if returned.is_some() {
            self.shared.returned.fetch_add(1, Ordering::Relaxed);
        }
        let call = Call { client: self.number, op, called, returned };
        self.shared.calls.lock().expect("nobody panics").push(call);
    }

    /// Counts one more, and says so in the same transaction.
    async fn tick(&mut self, db: &Netabase<Zoo>, id: u64) {
        let tally = id % TALLIES;
        let ticked = db.transaction(async |tx: Tx<Zoo>| {
            let count = tx.get_record::<Tally>(tally).await?.map_or(0, |tally| tally.count);
            tx.put_record(Tally { id: tally, count: count + 1 })?;
            tx.insert_record(Tick { id, tally })
        });
        let fate = match ticked.await {
            Ok(_) => Fate::Done,
            Err(error) if error.may_have_happened() => Fate::Unknown,
            Err(_) => Fate::Refused,
        };
        self.shared.ticks.lock().expect("nobody panics").insert(id, fate);
    }

    /// Takes an address that somebody else may have, or moves, or goes.
    async fn person(&mut self, db: &Netabase<Zoo>) {
        let (id, email, age) = (self.random.below(EMAILS), self.random.below(EMAILS), self.random.below(90));
        let person = Person { id, email: format!("{email}@example.org"), age };
        let _ = match self.random.below(4) {
            0 => db.remove_record::<Person>(id).await,
            1 => db.insert_record(person).await,
            _ => db.put_record(person).await,
        };
    }
}

fn existed(receipt: netabase::Result<netabase::Receipt>) -> netabase::Result<Outcome> {
    receipt.map(|receipt| Outcome::Existed(receipt.existed()))
}

/// Moves what is under one key to another one, and writes a new value in its place.
async fn transact(db: &Netabase<Zoo>, from: u64, to: u64, value: u64) -> (Op, netabase::Result<Outcome>) {
    // What the last run has read and written: the ones before it met a conflict and did not happen.
    let last = Mutex::new((Vec::new(), Vec::new()));
    let done = db.transaction(async |tx: Tx<Zoo>| {
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
