use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Reading {
    #[netabase(key)]
    id: u64,
    #[netabase(consistency = "eventual")] // mistake
    value: u32,
}

fn main() {
    let _ = Reading::range(1..2);
}
