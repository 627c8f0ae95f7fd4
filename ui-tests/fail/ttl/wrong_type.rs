use std::time::Duration;

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(ttl = "expires")]
pub struct Login {
    #[netabase(key)]
    id: u64,
    expires: Duration, // mistake
}

fn main() {
    let _ = Login::range(1..2);
}
