use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(&'static Account), // mistake
}

fn main() {}
