use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(unique(name = "by_"))] // mistake
    city: String,
    balance: i64,
}

fn main() {
    let _ = Account::by_city("Paris");
}
