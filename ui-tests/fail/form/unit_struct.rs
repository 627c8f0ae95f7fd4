use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account; // mistake

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Account),
}

fn main() {
    let _ = Account::range(1..2);
}
