use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct ReadingV1 {
    #[netabase(key)]
    id: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 2, from = ReadingV1, consistency = "eventual")] // mistake
pub struct Reading {
    #[netabase(key)]
    id: u64,
    value: u32,
}

impl From<ReadingV1> for Reading {
    fn from(ReadingV1 { id }: ReadingV1) -> Self {
        Reading { id, value: 0 }
    }
}

fn main() {
    let _ = Reading::range(1..2);
}
