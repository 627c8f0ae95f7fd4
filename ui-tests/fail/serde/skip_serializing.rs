use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[serde(skip_serializing)] // mistake
    city: Option<String>,
}

fn main() {}
