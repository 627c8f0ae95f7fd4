use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(ttl = "deadline")] // mistake
pub struct Login {
    #[netabase(key)]
    id: u64,
    until: u64,
}

fn main() {
    let _ = Login::range(1..2);
}
