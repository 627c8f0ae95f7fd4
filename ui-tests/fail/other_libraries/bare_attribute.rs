use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[primary_key] // mistake
    #[netabase(key)]
    id: u64,
}

fn main() {}
