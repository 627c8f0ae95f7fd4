use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index)] // mistake
pub struct Account {
    #[netabase(key)]
    id: u64,
    city: String,
    balance: i64,
}

fn main() {
}
