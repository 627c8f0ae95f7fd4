use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(consistency)] // mistake
pub struct Reading {
    #[netabase(key)]
    id: u64,
}

fn main() {
    let _ = Reading::range(1..2);
}
