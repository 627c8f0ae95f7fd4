use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(name = "by_city_balance", fields(city, balance)))]
pub struct Account {
    #[netabase(key)]
    id: u64,
    city: String,
    balance: i64,
}

fn main() {
    let _ = Account::by_city_balance(("Paris", "10")); // mistake
}
