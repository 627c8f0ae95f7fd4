use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub enum Priority {
    High = 20,
    Low = 10, // mistake
}

fn main() {}
