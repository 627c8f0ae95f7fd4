use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize)]
pub struct Town {
    name: String,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    town: Town, // mistake
}

fn main() {}
