//! Fields and variants that are configured away.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
    #[cfg(any())]
    #[netabase(index)]
    gone: f64,
    #[cfg_attr(all(), netabase(index))]
    city: String,
}

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
enum Status {
    Open,
    #[cfg(any())]
    Gone(u8),
}

#[derive(NetabaseSchema)]
enum Bank {
    Account(Account),
    #[cfg(any())]
    Gone(f64),
}

fn main() {
    let _ = (Account::by_city("x"), Status::Open, Bank::from(Account { id: 1, city: String::new() }));
}
