use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Entry {
    #[netabase(key)]
    account: Account, // mistake
}

fn main() {}
