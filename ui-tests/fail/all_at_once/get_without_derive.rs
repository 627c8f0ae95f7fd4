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
    // That it is no record is said of its key as well, and the compiler has no word for keeping that to itself.
    let _ = store
        .get_record::< // mistake
            Town, // mistake
        >(7);
}
