//! Money moves between accounts from every node while nodes lose their power: no transaction ever sees another sum, and
//! at the end every balance is what the transfers that were written beside it say.
//!
//! `NETABASE_SEED` repeats a run, `NETABASE_BANK_SECONDS` (10) sets how long it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use netabase::testing::{Cluster, Unsynced};
use netabase::{Error, Netabase, NetabaseSchema, Record as _, Tuning, Tx};
use netabase_tests::Random;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const NODES: usize = 3;
const TASKS: u64 = 32;
const ACCOUNTS: u64 = 24;
const START: i64 = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
    balance: i64,
}

/// Written in the transaction that moves the money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Transfer {
    #[netabase(key)]
    task: u64,
    #[netabase(key)]
    seq: u64,
    from: u64,
    to: u64,
    amount: i64,
}

#[derive(NetabaseSchema)]
enum Bank {
    Account(Account),
    Transfer(Transfer),
}

/// What the tasks and the one who breaks things share.
struct Shared {
    /// The newest handle of each node.
    nodes: RwLock<Vec<Netabase<Bank>>>,
    stop: AtomicBool,
    acknowledged: Mutex<BTreeSet<(u64, u64)>>,
    /// Transfers that are known not to have happened.
    refused: Mutex<BTreeSet<(u64, u64)>>,
    sums: AtomicU64,
    conflicts: AtomicU64,
}

async fn transfer(db: &Netabase<Bank>, planned: &Transfer) -> netabase::Result<()> {
    let moved = db.transaction(async |tx: Tx<Bank>| {
        let account =
            async |id: u64| tx.get_record::<Account>(id).await?.ok_or_else(|| Error::abort(format!("no account {id}")));
        let (mut from, mut to) = (account(planned.from).await?, account(planned.to).await?);
        from.balance -= planned.amount;
        to.balance += planned.amount;
        tx.put_record(from)?;
        tx.put_record(to)?;
        tx.insert_record(planned.clone())
    });
    moved.await.map(|_| ())
}

async fn sum(db: &Netabase<Bank>) -> netabase::Result<i64> {
    let read = async |tx: Tx<Bank>| Ok(tx.query(Account::all()).await?.iter().map(|account| account.balance).sum());
    db.transaction(read).await.map(|(_, sum)| sum)
}

async fn work(shared: Arc<Shared>, task: u64, mut random: Random) {
    let mut seq = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let place = random.below(NODES as u64) as usize;
        let db = shared.nodes.read().expect("no task panics")[place].clone();
        let result = if random.below(8) == 0 {
            let sum = sum(&db).await;
            if let Ok(sum) = sum {
                assert_eq!(sum, START * ACCOUNTS as i64, "task {task} saw another sum on node {place}");
                shared.sums.fetch_add(1, Ordering::Relaxed);
            }
            sum.map(|_| ())
        } else {
            seq += 1;
            let from = random.below(ACCOUNTS);
            let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
            let planned = Transfer { task, seq, from, to, amount: 1 + random.below(50) as i64 };
            let result = transfer(&db, &planned).await;
            match &result {
                Ok(()) => drop(shared.acknowledged.lock().expect("no task panics").insert((task, seq))),
                Err(error) if !error.may_have_happened() => {
                    shared.refused.lock().expect("no task panics").insert((task, seq));
                }
                Err(_) => {}
            }
            result
        };
        match result {
            Ok(()) => {}
            Err(Error::Conflict) => drop(shared.conflicts.fetch_add(1, Ordering::Relaxed)),
            // A node is down, or there is no quorum: a caller would back off.
            Err(
                Error::NoQuorum
                | Error::Timeout
                | Error::ConnectionLost
                | Error::ShutDown
                | Error::Storage { .. }
                | Error::Overloaded { .. },
            ) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(other) => panic!("task {task}: {other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sum_never_changes() -> netabase::Result<()> {
    let seconds = std::env::var("NETABASE_BANK_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(10);
    let (seed, mut random) = Random::from_environment();
    println!("seed {seed}, {seconds} s");
    let tuning = Tuning::default().request_timeout(Duration::from_secs(5));
    let mut cluster = Cluster::<Bank>::start(NODES).seed(seed).tuning(tuning).await?;
    cluster.node(0).put_records((0..ACCOUNTS).map(|id| Account { id, balance: START })).await?;
    cluster.converged().await?;
    let shared = Arc::new(Shared {
        nodes: RwLock::new((0..NODES).map(|place| cluster.node(place)).collect()),
        stop: AtomicBool::new(false),
        acknowledged: Mutex::default(),
        refused: Mutex::default(),
        sums: AtomicU64::new(0),
        conflicts: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(work(Arc::clone(&shared), task, Random::new(random.next_number())));
    }

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut cuts = 0;
    while Instant::now() < end {
        // How long it works is what is tested, not what is waited for.
        tokio::time::sleep(Duration::from_millis(300 + random.below(900))).await;
        let place = random.below(NODES as u64) as usize;
        cluster.crash_leaving(place, Unsynced::Torn { seed: random.next_number() }).await;
        cuts += 1;
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        cluster.restart(place).await?;
        shared.nodes.write().expect("no task panics")[place] = cluster.node(place);
    }
    shared.stop.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task.expect("no task saw another sum");
    }
    cluster.leader().await?;
    cluster.converged().await?;

    for place in 0..NODES {
        check(&cluster.node(place), &shared, &format!("seed {seed}, node {place}")).await?;
    }
    println!(
        "{} transfers acknowledged, {} sums, {} gave up after conflicts, {cuts} power cuts",
        shared.acknowledged.lock().expect("no task panics").len(),
        shared.sums.load(Ordering::Relaxed),
        shared.conflicts.load(Ordering::Relaxed),
    );
    cluster.shutdown().await
}

/// Every acknowledged transfer is there once, none of those that did not happen is, and together they give the balances.
async fn check(db: &Netabase<Bank>, shared: &Shared, what: &str) -> netabase::Result<()> {
    let transfers = db.query(Transfer::all()).await?;
    let there: BTreeSet<(u64, u64)> = transfers.iter().map(|transfer| (transfer.task, transfer.seq)).collect();
    let acknowledged = shared.acknowledged.lock().expect("no task panics").clone();
    let refused = shared.refused.lock().expect("no task panics").clone();
    let missing: Vec<_> = acknowledged.difference(&there).collect();
    assert!(missing.is_empty(), "{what}: acknowledged and not there: {missing:?}");
    let surplus: Vec<_> = refused.intersection(&there).collect();
    assert!(surplus.is_empty(), "{what}: refused and there: {surplus:?}");
    let mut expected: BTreeMap<u64, i64> = (0..ACCOUNTS).map(|id| (id, START)).collect();
    for Transfer { from, to, amount, .. } in transfers {
        *expected.entry(from).or_default() -= amount;
        *expected.entry(to).or_default() += amount;
    }
    let balances: BTreeMap<u64, i64> =
        db.query(Account::all()).await?.into_iter().map(|account| (account.id, account.balance)).collect();
    assert_eq!(balances, expected, "{what}");
    assert_eq!(balances.values().sum::<i64>(), START * ACCOUNTS as i64, "{what}");
    Ok(())
}
