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

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Entry {
    #[netabase(key)]
    account: u64,
    #[netabase(key)]
    seq: u32,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Account),
}

fn main() {
    let store = Store::<Bank>::open("data", StoreKind::Memory).expect("it opens");
    let account = Account { id: 1, city: String::new() };
    let _ = store.put_record(&account); // mistake
}
