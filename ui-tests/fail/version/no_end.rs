use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 2, from = before::)] // mistake
pub struct Account {
    #[netabase(key)]
    id: u64,
}

fn main() {}
