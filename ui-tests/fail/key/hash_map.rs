use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: std::collections::HashMap<String, u8>, // mistake
}

fn main() {
    let _ = Account::all();
}
