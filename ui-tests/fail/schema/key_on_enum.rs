use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
}

#[derive(NetabaseSchema)]
#[netabase(key)] // mistake
pub enum Bank {
    Account(Account),
}

fn main() {}
