use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Login {
    #[netabase(key)]
    id: u64,
    #[netabase(ttl)] // mistake
    expires: u64,
}

fn main() {
    let _ = Login::range(1..2);
}
