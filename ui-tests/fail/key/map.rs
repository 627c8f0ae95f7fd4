use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: std::collections::BTreeMap<u8, u8>, // mistake
    city: String,
}

fn main() {}
