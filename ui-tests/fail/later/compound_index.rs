use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(name = "by_both", fields(id, city)))] // mistake
pub struct Account {
    #[netabase(key)]
    id: u64,
}

fn main() {
    let _ = Account::range(1..2);
}
