use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub enum Status { // mistake
    Open,
    Closed,
}

fn main() {}
