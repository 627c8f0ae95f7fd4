use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub struct Score(f64); // mistake

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Player {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    score: Score,
}

fn main() {}
