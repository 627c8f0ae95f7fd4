use netabase::StoreKind;
use netabase::store::Store;
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    city: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Town {
    name: String,
}

fn main() {
    let _ = Store::<Town>::open("data", StoreKind::Memory); // mistake
}
