use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: f64, // mistake
    city: String,
}

fn main() {}
