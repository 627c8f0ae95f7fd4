use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(consistency = "eventual")]
pub struct Sensor {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)] // mistake
    address: String,
}

fn main() {
    let _ = Sensor::by_address("10.0.0.1");
}
