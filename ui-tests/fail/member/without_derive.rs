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

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Account),
}

fn main() {
    let store = Store::<Bank>::open("data", StoreKind::Memory).expect("it opens");
    let _ = store.put_record(Town { name: String::new() }); // mistake
}
