use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    city: String,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Box<Account>), // mistake
}

fn main() {}
