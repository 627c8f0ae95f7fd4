//! Modules called as crates are.
#![deny(warnings)]

mod std {}
mod core {}
mod alloc {}
mod serde {}
mod netabase {}

use ::serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, ::netabase::NetabaseKey)]
enum Status {
    Open,
}

#[derive(Clone, Serialize, Deserialize, ::netabase::NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    status: Option<Status>,
}

#[derive(::netabase::NetabaseSchema)]
enum Bank {
    Account(Account),
}

fn main() {
    let account = Account { id: 1, status: None };
    let _ = (Account::by_status(Status::Open), Bank::from(account));
}
