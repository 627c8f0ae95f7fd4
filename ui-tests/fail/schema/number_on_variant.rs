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
#[repr(u8)]
pub enum Bank {
    Account(Account) = 1, // mistake
}

fn main() {}
