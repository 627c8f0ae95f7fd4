use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key, index, unique)] // mistake
    id: u64,
}

fn main() {
    let _ = Account::range(1..);
}
