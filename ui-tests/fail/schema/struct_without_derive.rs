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

#[derive(Clone, Serialize, Deserialize)]
pub struct Town {
    name: String,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Account),
    Town(Town), // mistake
}

fn schema<S: netabase::Schema>() {}

fn main() {
    schema::<Bank>();
}
