//! A crate that denies what can be denied, and forbids some of it.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    missing_copy_implementations,
    unreachable_pub,
    single_use_lifetimes,
    trivial_casts,
    unused_qualifications,
    unused_results,
    rust_2018_idioms,
    future_incompatible,
    nonstandard_style,
    let_underscore_drop
)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
#[allow(missing_copy_implementations)]
pub(crate) struct Account {
    /// The key.
    #[netabase(key)]
    id: u64,
    /// Where.
    #[netabase(index)]
    city: Option<String>,
}

/// A booking.
#[derive(Clone, Debug, Serialize, Deserialize, NetabaseSchema)]
#[allow(missing_copy_implementations)]
pub(crate) struct Entry {
    /// Of whom.
    #[netabase(key)]
    account: u64,
    /// Which.
    #[netabase(key)]
    seq: u32,
}

/// Both.
#[derive(Debug, NetabaseSchema)]
pub(crate) enum Bank {
    /// Accounts.
    Account(Account),
    /// Bookings.
    Entry(Entry),
}

fn main() {
    let account = Account { id: 1, city: None };
    let entry = Entry { account: 1, seq: 2 };
    println!("{:?} {:?}", Bank::from(account.clone()), Bank::from(entry.clone()));
    println!("{} {} {:?}", account.key(), entry.key(), Account::by_city("x"));
}
