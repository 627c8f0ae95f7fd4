use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    home_town: String,
    #[netabase(index)]
    home__town: String, // mistake
    balance: i64,
}

fn main() {
    let _ = Account::by_home_town("Paris");
}
