//! Transactions, named calls and `update_record` through the handle: what a user expects, and what each mistake gives.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netabase::testing::Cluster;
use netabase::{Error, Netabase, NetabaseSchema, Query, Record as _, Tx};
use netabase_tests::{Side, on_both_sides};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    email: String,
    #[netabase(index)]
    city: String,
    balance: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Entry {
    #[netabase(key)]
    account: u64,
    #[netabase(key)]
    seq: u32,
    amount: i64,
}

#[derive(NetabaseSchema)]
enum Bank {
    Account(Account),
    Entry(Entry),
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0} too little")]
struct TooPoor(i64);

fn account(id: u64, balance: i64) -> Account {
    Account {
        id,
        email: format!("{id}@x.org"),
        city: if id.is_multiple_of(2) { "Paris" } else { "Rome" }.into(),
        balance,
    }
}

on_both_sides!(
    a_transaction_reads_its_own_writes_and_commits_them_together,
    what_is_given_up_leaves_no_trace,
    whoever_reads_only_costs_no_round,
    what_others_changed_meanwhile_makes_it_run_again,
    a_refused_write_inside_a_closure_is_told_where_it_is_written,
    mistakes_are_told,
    a_run_that_reads_for_too_long_runs_again,
    a_batch_that_fails_says_where_and_how_many_are_in,
);

async fn one() -> netabase::Result<Cluster<Bank>> {
    Cluster::start(1).await
}

async fn balance(db: &Netabase<Bank>, id: u64) -> i64 {
    db.get_record::<Account>(id).await.expect("it reads").expect("it is there").balance
}

async fn transfer(db: &Netabase<Bank>, from: u64, to: u64, amount: i64) -> netabase::Result<()> {
    let done = db.transaction(async |tx: Tx<Bank>| {
        let mut payer = tx.get_record::<Account>(from).await?.ok_or_else(|| Error::abort("no such account"))?;
        if payer.balance < amount {
            return Err(Error::abort(TooPoor(amount - payer.balance)));
        }
        payer.balance -= amount;
        tx.put_record(payer)?;
        let mut payee = tx.get_record::<Account>(to).await?.ok_or_else(|| Error::abort("no such account"))?;
        payee.balance += amount;
        tx.put_record(payee)
    });
    done.await.map(|_| ())
}

async fn a_transaction_reads_its_own_writes_and_commits_them_together(side: Side) -> netabase::Result<()> {
    let cluster = one().await?;
    let db = side.of(&cluster).await?;
    db.put_records(vec![account(1, 10), account(2, 0), account(3, 7)]).await?;
    let (receipt, seen) = db
        .transaction(async |tx| {
            tx.put_record(Account { balance: 99, ..account(2, 0) })?;
            tx.remove_record::<Account>(1)?;
            tx.insert_record(account(4, 1))?;
            tx.put_record(Entry { account: 4, seq: 1, amount: 1 })?;
            let by_key: Vec<u64> = tx.query(Account::all()).await?.iter().map(|account| account.id).collect();
            let in_paris: Vec<i64> =
                tx.query(Account::by_city("Paris").reverse()).await?.iter().map(|account| account.balance).collect();
            assert_eq!(tx.query(Entry::prefix(4)).await?.len(), 1);
            assert_eq!(tx.query(Account::all().limit(0)).await?, []);
            assert_eq!(tx.get_record::<Account>(1).await?, None);
            Ok((by_key, in_paris))
        })
        .await?;
    assert_eq!(seen, (vec![2, 3, 4], vec![1, 99]));
    // Where clients come, a node says meanwhile where it is.
    let applied = db.status().await?.applied_round;
    assert!(receipt.round() == Some(applied) || side == Side::Client && receipt.round() < Some(applied));
    assert_eq!(db.query(Account::all()).await?.len(), 3);
    assert_eq!(balance(&db, 2).await, 99);
    cluster.shutdown().await
}

async fn what_is_given_up_leaves_no_trace(side: Side) -> netabase::Result<()> {
    let cluster = one().await?;
    let db = side.of(&cluster).await?;
    db.put_records(vec![account(1, 10), account(2, 0)]).await?;
    let before = (db.query(Account::all()).await?, db.state_hash().await?.hash);
    let error = transfer(&db, 1, 2, 25).await.expect_err("there is too little");
    assert_eq!(error.aborted::<TooPoor>(), Some(&TooPoor(15)));
    assert!(!error.may_have_happened());
    assert_eq!(
        transfer(&db, 1, 9, 5).await.expect_err("nobody").to_string(),
        "the transaction was given up: no such account"
    );
    // A closure that panics takes its caller with it, and nothing else.
    let panicking = db.clone();
    let panicked = tokio::spawn(async move {
        panicking
            .transaction(async |tx| {
                tx.put_record(account(5, 5))?;
                if tx.get_record::<Account>(5).await?.is_some() {
                    panic!("a mistake of the application");
                }
                Ok(())
            })
            .await
    });
    assert!(panicked.await.expect_err("it panicked").is_panic());
    assert_eq!(db.query(Account::all()).await?, before.0);
    if side == Side::Node {
        assert_eq!(db.state_hash().await?.hash, before.1);
    }
    transfer(&db, 1, 2, 5).await?;
    assert_eq!((balance(&db, 1).await, balance(&db, 2).await), (5, 5));
    cluster.shutdown().await
}

async fn whoever_reads_only_costs_no_round(side: Side) -> netabase::Result<()> {
    let cluster = one().await?;
    let db = side.of(&cluster).await?;
    db.put_records((1..=4).map(|id| account(id, 10))).await?;
    let round = db.status().await?.applied_round;
    let (receipt, sum) = db
        .transaction(async |tx: Tx<Bank>| {
            Ok(tx.query(Account::all()).await?.iter().map(|account| account.balance).sum::<i64>())
        })
        .await?;
    assert_eq!((sum, receipt.round()), (40, None));
    if side == Side::Node {
        assert_eq!(db.status().await?.applied_round, round);
    }
    cluster.shutdown().await
}

/// The first run of each closure is overtaken by another writer, at a place of its choice.
async fn what_others_changed_meanwhile_makes_it_run_again(side: Side) -> netabase::Result<()> {
    let cluster = one().await?;
    let db = side.of(&cluster).await?;
    db.put_records((1..=4).map(|id| account(id, 10))).await?;
    let queries: [fn() -> Query<Account>; 4] =
        [Account::all, || Account::range(3..), || Account::by_city("Rome"), || Account::by_city(..).reverse().limit(3)];
    for (n, query) in (10..).zip(queries) {
        let runs = AtomicU32::new(0);
        // Odd ones are in Rome, at the end of the keys and of the cities.
        let new = account(2 * n + 1, 1);
        let (_, ids) = db
            .transaction(async |tx: Tx<Bank>| {
                let ids: Vec<u64> = tx.query(query()).await?.iter().map(|account| account.id).collect();
                if runs.fetch_add(1, Ordering::Relaxed) == 0 {
                    db.put_record(new.clone()).await?;
                }
                tx.put_record(Entry { account: n, seq: 1, amount: ids.len() as i64 })?;
                Ok(ids)
            })
            .await?;
        assert_eq!(runs.into_inner(), 2, "query {n}: a phantom was not noticed");
        assert!(ids.contains(&new.id), "query {n}: {ids:?}");
    }
    // Beyond what a limit cut off, nothing was looked at.
    let runs = AtomicU32::new(0);
    db.transaction(async |tx: Tx<Bank>| {
        assert_eq!(tx.query(Account::all().limit(2)).await?.len(), 2);
        if runs.fetch_add(1, Ordering::Relaxed) == 0 {
            db.put_record(account(100, 1)).await?;
        }
        tx.put_record(Entry { account: 0, seq: 2, amount: 0 })
    })
    .await?;
    assert_eq!(runs.into_inner(), 1);
    cluster.shutdown().await
}

async fn a_refused_write_inside_a_closure_is_told_where_it_is_written(side: Side) -> netabase::Result<()> {
    let cluster = one().await?;
    let db = side.of(&cluster).await?;
    db.put_record(account(1, 10)).await?;
    let exists = db.transaction(async |tx: Tx<Bank>| Ok(tx.insert_record(account(1, 0)))).await?.1;
    assert!(matches!(exists, Err(Error::AlreadyExists { .. })), "{exists:?}");
    let taken = Account { email: "1@x.org".into(), ..account(2, 0) };
    let told = Mutex::new(Vec::new());
    db.transaction(async |tx: Tx<Bank>| {
        let refused = tx.put_record(taken.clone());
        let runs = {
            let mut told = told.lock().expect("no test panics here");
            told.push(matches!(refused, Err(Error::UniqueViolation { .. })));
            told.len()
        };
        if runs == 1 {
            // The holder of the e-mail goes: what the closure was told is no longer so.
            db.remove_record::<Account>(1).await?;
        }
        if refused.is_err() {
            tx.put_record(account(2, 0))?;
        }
        Ok(())
    })
    .await?;
    // A client learns of it when the member is told of the write: the first run never was.
    let expected = if side == Side::Node { &[true, false][..] } else { &[false] };
    assert_eq!(told.into_inner().expect("no test panics here"), expected);
    assert_eq!(db.query(Account::by_email("1@x.org")).await?, [taken]);
    cluster.shutdown().await
}

async fn mistakes_are_told(side: Side) -> netabase::Result<()> {
    let cluster = one().await?;
    let db = side.of(&cluster).await?;
    db.put_record(account(1, 10)).await?;
    // The last write to a key stands.
    db.transaction(async |tx| {
        tx.put_record(account(7, 1))?;
        tx.put_record(account(7, 2))
    })
    .await?;
    assert_eq!(balance(&db, 7).await, 2);

    // `tx` outlives its closure.
    let kept: Mutex<Option<Tx<Bank>>> = Mutex::new(None);
    db.transaction(async |tx: Tx<Bank>| {
        *kept.lock().expect("no test panics here") = Some(tx.clone());
        Ok(())
    })
    .await?;
    let kept = kept.into_inner().expect("no test panics here").expect("it ran");
    assert!(matches!(kept.put_record(account(8, 1)), Err(Error::Configuration { option: "transaction", .. })));
    assert!(matches!(kept.get_record::<Account>(1).await, Err(Error::Configuration { .. })));

    let large = db
        .transaction(async |tx: Tx<Bank>| {
            for id in 0..40 {
                tx.put_record(Account { city: "x".repeat(50_000), ..account(100 + id, 0) })?;
            }
            Ok(())
        })
        .await
        .expect_err("two megabytes");
    assert!(matches!(large, Error::TransactionTooLarge { .. }), "{large}");
    assert!(db.get_record::<Account>(100).await?.is_none());

    db.put_records((0..10_100).map(|seq| Entry { account: 1, seq, amount: 1 })).await?;
    let greedy = db.transaction(async |tx: Tx<Bank>| tx.query(Entry::all()).await.map(|_| ())).await;
    assert!(matches!(greedy, Err(Error::TransactionTooLarge { .. })), "{greedy:?}");

    let moved = db.update_record::<Account>(1, |account| account.id = 2).await.expect_err("another key");
    assert!(matches!(moved, Error::Configuration { option: "update_record", .. }), "{moved}");
    assert!(db.update_record::<Account>(77, |account| account.balance = 1).await?.is_none());

    // It never settles: somebody changes what it reads, each time.
    let stubborn = db.transaction(async |tx: Tx<Bank>| {
        let read = tx.get_record::<Account>(1).await?.expect("it is there");
        db.put_record(read.clone()).await?;
        tx.put_record(read)
    });
    assert!(matches!(stubborn.await, Err(Error::Conflict)));
    cluster.shutdown().await
}

/// A view is held for five seconds; what is read later is read anew, from the beginning.
async fn a_run_that_reads_for_too_long_runs_again(side: Side) -> netabase::Result<()> {
    let cluster = one().await?;
    let db = side.of(&cluster).await?;
    db.put_record(account(1, 10)).await?;
    let runs = AtomicU32::new(0);
    db.transaction(async |tx: Tx<Bank>| {
        let read = tx.get_record::<Account>(1).await?.expect("it is there");
        if runs.fetch_add(1, Ordering::Relaxed) == 0 {
            // Longer than a view is held: that is what is tested, not what is waited for.
            tokio::time::sleep(Duration::from_millis(5_200)).await;
            assert!(tx.get_record::<Account>(1).await.is_err());
            // Whatever the closure makes of it, it runs again.
            return Err(Error::abort("an error that nobody sees"));
        }
        tx.put_record(Account { balance: read.balance + 1, ..read })
    })
    .await?;
    assert_eq!((runs.into_inner(), balance(&db, 1).await), (2, 11));
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_on_every_node_add_up() -> netabase::Result<()> {
    let cluster = Cluster::<Bank>::start(3).await?;
    cluster.node(0).put_record(account(1, 0)).await?;
    cluster.converged().await?;
    let updates = (0..60).map(|n| {
        let db = cluster.node(n % 3);
        tokio::spawn(async move { db.update_record::<Account>(1, |account| account.balance += 1).await })
    });
    for update in updates.collect::<Vec<_>>() {
        assert!(update.await.expect("no task panics")?.is_some());
    }
    cluster.converged().await?;
    assert_eq!(balance(&cluster.node(2), 1).await, 60);
    cluster.shutdown().await
}

/// A thousand claims of the same hundred e-mail addresses, on every node at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_unique_value_is_given_once() -> netabase::Result<()> {
    let cluster = Cluster::<Bank>::start(3).await?;
    let claims = (0..1_000_u64).map(|n| {
        let db = cluster.node((n % 3) as usize);
        let claim = Account { email: format!("{}@y.org", n % 100), ..account(n, 0) };
        tokio::spawn(async move {
            match n % 4 {
                0 => db.put_record(claim).await.map(|_| ()),
                1 => db.insert_record(claim).await.map(|_| ()),
                2 => db
                    .request_id([n.to_be_bytes(), [0; 8]].concat().try_into().expect("16"))
                    .put_record(claim)
                    .await
                    .map(|_| ()),
                _ => db.transaction(async |tx: Tx<Bank>| tx.insert_record(claim.clone())).await.map(|_| ()),
            }
        })
    });
    let mut succeeded = 0;
    for claim in claims.collect::<Vec<_>>() {
        match claim.await.expect("no task panics") {
            Ok(()) => succeeded += 1,
            Err(Error::UniqueViolation { record, index }) => {
                assert_eq!((record.as_str(), index.as_str()), ("account", "email"));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(succeeded, 100);
    cluster.converged().await?;
    for node in 0..3 {
        let db = cluster.node(node);
        assert_eq!(db.count(Account::all()).await?, 100);
        for n in 0..100 {
            assert_eq!(db.query(Account::by_email(format!("{n}@y.org"))).await?.len(), 1);
        }
    }
    cluster.shutdown().await
}

async fn a_batch_that_fails_says_where_and_how_many_are_in(side: Side) -> netabase::Result<()> {
    let cluster = one().await?;
    let db = side.of(&cluster).await?;
    db.put_record(account(1_000_000, 0)).await?;
    let batch = (0..5_000).map(|id| match id {
        700 | 900 => Account { email: "1000000@x.org".into(), ..account(id, 0) },
        _ => account(id, 0),
    });
    match db.put_records(batch).await {
        Err(Error::Batch { applied, index: 700, source }) => {
            assert!(matches!(*source, Error::UniqueViolation { .. }), "{source}");
            assert_eq!(db.count(Account::all()).await?, applied + 1);
            assert!((700..5_000).contains(&applied), "{applied}");
        }
        other => panic!("{other:?}"),
    }
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_call_is_done_once_on_whichever_node_and_after_a_restart() -> netabase::Result<()> {
    let mut cluster = Cluster::<Bank>::start(3).await?;
    cluster.node(0).put_record(account(1, 0)).await?;
    cluster.converged().await?;
    let id = *b"the first deposit";
    let id: [u8; 16] = id[..16].try_into().expect("16 bytes");
    let deposit = |db: Netabase<Bank>| async move {
        db.request_id(id).update_record::<Account>(1, |account| account.balance += 5).await
    };
    let first = deposit(cluster.node(0)).await?.expect("it is there");
    for node in 0..3 {
        assert_eq!(deposit(cluster.node(node)).await?, Some(first));
    }
    cluster.converged().await?;
    cluster.crash_all(netabase::testing::Unsynced::Lost).await;
    for node in 0..3 {
        cluster.restart(node).await?;
    }
    cluster.leader().await?;
    let again = deposit(cluster.node(1)).await?;
    assert_eq!(again, Some(first));
    assert_eq!(balance(&cluster.node(1), 1).await, 5);

    // What a transaction finds already done is not done again, though it would write nothing now.
    let named = [9; 16];
    let once = Arc::new(AtomicU32::new(0));
    let open = |db: Netabase<Bank>, runs: Arc<AtomicU32>| async move {
        db.request_id(named)
            .transaction(async |tx: Tx<Bank>| {
                runs.fetch_add(1, Ordering::Relaxed);
                if tx.get_record::<Account>(50).await?.is_none() {
                    tx.insert_record(account(50, 1))?;
                }
                Ok(())
            })
            .await
    };
    let (opened, ()) = open(cluster.node(2), Arc::clone(&once)).await?;
    let (again, ()) = open(cluster.node(2), Arc::clone(&once)).await?;
    assert_eq!(opened, again);
    assert!(opened.round().is_some());
    cluster.shutdown().await
}

/// A node that is behind must not take for gone what it has not got yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_at_a_node_that_is_behind_finds_what_was_written() -> netabase::Result<()> {
    let mut cluster = Cluster::<Bank>::start(3).await?;
    let leader = cluster.leader().await?;
    let (behind, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.partition([&[leader, other], &[behind]]);
    cluster.node(leader).put_record(account(1, 10)).await?;
    assert_eq!(cluster.node(behind).get_record::<Account>(1).await?, None);
    cluster.heal();
    let updated = cluster.node(behind).update_record::<Account>(1, |account| account.balance = 20).await?;
    assert!(updated.is_some(), "it was there all the time");
    let none = cluster.node(behind).update_record::<Account>(2, |account| account.balance = 20).await?;
    assert_eq!(none.map(|receipt| receipt.existed()), None);
    cluster.shutdown().await
}
