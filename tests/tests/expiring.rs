//! Records that expire while nodes lose power and the network parts: none is removed before its time, none is read after
//! it, and in the end they are gone from every node, each told of once.
//!
//! `NETABASE_SEED` repeats one seed, `NETABASE_EXPIRY_SEEDS` (2) sets how many are tried.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netabase::testing::{Cluster, Unsynced};
use netabase::{Change, Changes, Error, Netabase, NetabaseSchema, Record as _, Tuning};
use netabase_tests::Random;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const NODES: usize = 3;
const CALLERS: u64 = 6;
const ROUNDS: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(ttl = "until_ms")]
struct Session {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    token: String,
    #[netabase(index)]
    caller: u64,
    until_ms: Option<u64>,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn has_expired(session: &Session, at_ms: u64) -> bool {
    session.until_ms.is_some_and(|until| until <= at_ms)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_under_faults_goes_once_and_never_early() -> netabase::Result<()> {
    let seeds = std::env::var("NETABASE_EXPIRY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2);
    let (first, _) = Random::from_environment();
    for seed in (0..seeds).map(|n| first.wrapping_add(n)) {
        run(seed).await?;
    }
    Ok(())
}

async fn run(seed: u64) -> netabase::Result<()> {
    let mut random = Random::new(seed);
    let tuning = Tuning::default().request_timeout(Duration::from_secs(5));
    let mut cluster = Cluster::<Session>::start(NODES).seed(seed).tuning(tuning).await?;
    // Not of a node: it outlives all of them.
    let client = cluster.client().await?;
    let told = Told::follow(client.watch(Session::all()).await?);
    let stop = Arc::new(AtomicBool::new(false));
    let mut stored = 0;
    for round in 0..ROUNDS {
        stop.store(false, Ordering::Relaxed);
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let place = random.index(NODES);
            let (db, random) = (cluster.node(place), Random::new(random.next_number()));
            let (told, stop) = (told.clone(), Arc::clone(&stop));
            callers.spawn(write(db, random, round * CALLERS + caller, told, stop));
        }
        pass(&mut random, 200).await;
        disturb(&mut cluster, &mut random).await?;
        pass(&mut random, 500).await;
        cluster.heal();
        for place in 0..NODES {
            cluster.restart(place).await?;
        }
        pass(&mut random, 200).await;
        stop.store(true, Ordering::Relaxed);
        while let Some(written) = callers.join_next().await {
            stored += written.expect("no caller panics");
        }
    }
    let left = told.until_only_lasting_ones_are_left(seed).await;
    cluster.converged().await?;
    for place in 0..NODES {
        let found = cluster.node(place).query(Session::all()).await?;
        assert_eq!(found, left, "seed {seed}: node {place} has other records than the changes tell of");
    }
    println!("seed {seed}: {stored} stored, {} removed in time, {} stay", told.removed(), left.len());
    assert!(told.removed() > 0);
    cluster.shutdown().await
}

/// Stores, refreshes and reads until told to stop, or its node is gone; how many were stored.
async fn write(db: Netabase<Session>, mut random: Random, caller: u64, told: Told, stop: Arc<AtomicBool>) -> u64 {
    let (mut id, mut stored) = (caller << 32, 0);
    while !stop.load(Ordering::Relaxed) {
        let until_ms = (!random.happens(50)).then(|| now_ms() + 20 + random.below(400));
        let session = Session { id, token: format!("token {id}"), caller, until_ms };
        told.expect(&session);
        match db.put_record(session).await {
            Ok(_) => stored += 1,
            Err(Error::ShutDown | Error::Storage { .. } | Error::ConnectionLost) => break,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        // Now and then the same again, with another end: before or after it has expired.
        id += u64::from(!random.happens(300));
        let began_ms = now_ms();
        let Ok(mine) = db.query(Session::by_caller(caller)).await else { break };
        let late = mine.iter().find(|session| has_expired(session, began_ms));
        assert_eq!(late, None, "it was read at {began_ms}");
    }
    stored
}

async fn disturb(cluster: &mut Cluster<Session>, random: &mut Random) -> netabase::Result<()> {
    let place = random.index(NODES);
    match random.below(4) {
        0 => {
            let leader = cluster.leader().await?;
            cluster.crash(leader).await;
        }
        1 => {
            let seed = random.next_number();
            cluster.crash_all(Unsynced::Torn { seed }).await;
        }
        2 => cluster.partition([&[place], &[(place + 1) % NODES, (place + 2) % NODES]]),
        _ => {
            let leader = cluster.leader().await?;
            cluster.partition([&[leader], &[(leader + 1) % NODES, (leader + 2) % NODES]]);
        }
    }
    Ok(())
}

/// Lets time pass: what happens meanwhile is what is tested, not what is waited for.
async fn pass(random: &mut Random, at_most_ms: u64) {
    tokio::time::sleep(Duration::from_millis(50 + random.below(at_most_ms))).await;
}

/// What a watch has told so far.
#[derive(Default)]
struct Seen {
    records: BTreeMap<u64, Session>,
    /// The earliest end that each record was ever given.
    ends: BTreeMap<u64, u64>,
    removed: usize,
    wrong: Option<String>,
}

impl Seen {
    fn take(&mut self, change: Change<Session>) -> Result<(), String> {
        let (at_ms, shown) = (now_ms(), format!("{change:?}"));
        let (id, previous, next) = match change {
            Change::Put { record, previous, .. } => (record.id, previous, Some(record)),
            Change::Remove { key, previous, .. } => (key.0, previous, None),
        };
        let known = self.records.remove(&id);
        if known != previous {
            return Err(format!("{shown} follows {known:?}"));
        }
        match next {
            // Nobody removes anything here, so it went since it had expired, or what was to take its place had on its way.
            None if self.ends.get(&id).is_none_or(|end| *end > at_ms) => return Err(format!("{shown} at {at_ms}")),
            None => self.removed += 1,
            Some(record) => drop(self.records.insert(id, record)),
        }
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Seen>>);

impl Told {
    fn follow(mut changes: Changes<Session>) -> Self {
        let told = Told::default();
        let seen = Arc::clone(&told.0);
        tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                let mut seen = seen.lock().expect("nobody panics with it");
                let taken = change.map_err(|error| error.to_string()).and_then(|change| seen.take(change));
                if let Err(wrong) = taken {
                    seen.wrong = Some(wrong);
                    return;
                }
            }
        });
        told
    }

    /// This is about to be stored.
    fn expect(&self, session: &Session) {
        let Some(until) = session.until_ms else { return };
        let mut seen = self.0.lock().expect("nobody panics with it");
        seen.ends.entry(session.id).and_modify(|end| *end = until.min(*end)).or_insert(until);
    }

    fn removed(&self) -> usize {
        self.0.lock().expect("nobody panics with it").removed
    }

    /// Waits until every record that can expire was told to be removed; the others.
    async fn until_only_lasting_ones_are_left(&self, seed: u64) -> Vec<Session> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            {
                let seen = self.0.lock().expect("nobody panics with it");
                assert_eq!(seen.wrong, None, "seed {seed}");
                if seen.records.values().all(|session| session.until_ms.is_none()) {
                    return seen.records.values().cloned().collect();
                }
                let late = seen.records.values().find(|session| session.until_ms.is_some());
                assert!(Instant::now() < deadline, "seed {seed}: it is still there: {late:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
