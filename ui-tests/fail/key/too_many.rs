use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    part_0: u8,
    #[netabase(key)]
    part_1: u8,
    #[netabase(key)]
    part_2: u8,
    #[netabase(key)]
    part_3: u8,
    #[netabase(key)]
    part_4: u8,
    #[netabase(key)]
    part_5: u8,
    #[netabase(key)] // mistake
    part_6: u8,
}

fn main() {}
