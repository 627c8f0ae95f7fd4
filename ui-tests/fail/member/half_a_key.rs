use netabase::StoreKind;
use netabase::store::Store;
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Entry {
    #[netabase(key)]
    account: u64,
    #[netabase(key)]
    seq: u32,
}

fn main() {
    let store = Store::<Entry>::open("data", StoreKind::Memory).expect("it opens");
    let _ = store.get_record::<Entry>(7); // mistake
}
