use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    city: String,
    #[netabase(unique)]
    balance: i64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Entry {
    #[netabase(key)]
    account: u64,
    #[netabase(key)]
    seq: u32,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    #[netabase(index)] // mistake
    Account(Account),
}

fn schema<S: netabase::Schema>() {}

fn main() {
    schema::<Bank>();
}
