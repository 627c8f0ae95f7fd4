use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub struct Id(u64);

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: Id,
}

fn main() {
    let _ = Account::range(7..); // mistake
}
