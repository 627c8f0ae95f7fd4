use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase] // mistake
pub struct Account {
    #[netabase(key)]
    id: u64,
}

fn main() {}
