//! A bank: many callers move money between few accounts at once, and no transaction ever sees another sum.
//!
//! `bank --demo` works in a temporary directory and ends by itself; `bank [DIR]` keeps its accounts in `DIR` (default
//! `./bank-data`) and finds them again in the next run.

use std::time::{Duration, Instant};

use netabase::Tx;
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

const ACCOUNTS: u64 = 10;
const START: i64 = 100;
const CALLERS: u64 = 16;
const TIME: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    email: String,
    balance: i64,
}

/// One line of an account's statement; the transfer's number is the same on both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Entry {
    #[netabase(key)]
    account: u64,
    #[netabase(key)]
    transfer: u64,
    amount: i64,
}

#[derive(NetabaseSchema)]
enum Bank {
    Account(Account),
    Entry(Entry),
}

/// The application's own error: it comes back from the transaction that was given up for it.
#[derive(Debug)]
struct TooLittle {
    missing: i64,
}

impl std::fmt::Display for TooLittle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} too little", self.missing)
    }
}

impl std::error::Error for TooLittle {}

async fn transfer(db: &Netabase<Bank>, number: u64, from: u64, to: u64, amount: i64) -> netabase::Result<()> {
    db.transaction(async |tx: Tx<Bank>| {
        let mut payer = tx.get_record::<Account>(from).await?.ok_or_else(|| Error::abort("nobody pays"))?;
        let mut payee = tx.get_record::<Account>(to).await?.ok_or_else(|| Error::abort("nobody is paid"))?;
        if payer.balance < amount {
            return Err(Error::abort(TooLittle { missing: amount - payer.balance }));
        }
        payer.balance -= amount;
        payee.balance += amount;
        tx.put_record(payer)?;
        tx.put_record(payee)?;
        tx.insert_record(Entry { account: from, transfer: number, amount: -amount })?;
        tx.insert_record(Entry { account: to, transfer: number, amount })
    })
    .await
    .map(|_| ())
}

/// All accounts as of one moment: a transaction that only reads costs no round.
async fn sum(db: &Netabase<Bank>) -> netabase::Result<i64> {
    let read = async |tx: Tx<Bank>| Ok(tx.query(Account::all()).await?.iter().map(|account| account.balance).sum());
    db.transaction(read).await.map(|(_, sum)| sum)
}

/// Each caller's transfers; how many were made, and how many there was too little money for.
async fn call(db: Netabase<Bank>, caller: u64, first: u64) -> netabase::Result<(u64, u64)> {
    let (mut made, mut refused, mut number) = (0, 0, first + caller);
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        // Any walk over the accounts does, as long as the callers meet each other.
        let from = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ACCOUNTS;
        let to = (from + 1 + number % (ACCOUNTS - 1)) % ACCOUNTS;
        match transfer(&db, number, from, to, 1 + (number % 9) as i64).await {
            Ok(()) => made += 1,
            Err(error) if error.aborted::<TooLittle>().is_some() => refused += 1,
            Err(error) => return Err(error),
        }
        if number.is_multiple_of(16) {
            assert_eq!(sum(&db).await?, START * ACCOUNTS as i64, "money was made or lost");
        }
        number += CALLERS;
    }
    Ok((made, refused))
}

#[tokio::main]
async fn main() -> netabase::Result<()> {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let data_dir = match std::env::args().nth(1).as_deref() {
        Some("--demo") => scratch.path().join("bank"),
        Some(directory) => directory.into(),
        None => "bank-data".into(),
    };
    let db = Netabase::<Bank>::start().data_dir(data_dir).await?;
    for id in 0..ACCOUNTS {
        let account = Account { id, email: format!("{id}@example.org"), balance: START };
        match db.insert_record(account).await {
            // It is there since an earlier run.
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let before = db.query(Entry::all()).await?;
    let first = before.iter().map(|entry| entry.transfer + 1).max().unwrap_or(0);

    let callers: Vec<_> = (0..CALLERS).map(|caller| tokio::spawn(call(db.clone(), caller, first))).collect();
    let (mut made, mut refused) = (0, 0);
    for caller in callers {
        let (more, less) = caller.await.expect("no caller panics")?;
        made += more;
        refused += less;
    }
    println!("{made} transfers by {CALLERS} callers at once, {refused} refused for want of money");

    for account in db.query(Account::all()).await? {
        let entries = db.query(Entry::prefix(account.id)).await?;
        let moved: i64 = entries.iter().map(|entry| entry.amount).sum();
        assert_eq!(account.balance, START + moved, "the statement of {} does not add up", account.email);
        println!("{:<16} {:>5}  after {:>4} entries", account.email, account.balance, entries.len());
    }
    println!("together {}, as at the start", sum(&db).await?);
    db.shutdown().await
}
