use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub struct Town {
    name: String,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[serde(flatten)] // mistake
    city: Town,
}

fn main() {}
