use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[serde(untagged)] // mistake
pub struct Account {
    #[netabase(key)]
    id: u64,
}

fn main() {
    let _ = Account::range(1..2);
}
