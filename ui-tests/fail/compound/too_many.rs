use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(
    name = "by_all",
    fields(
        id,
        city,
        balance,
        a,
        b,
        c,
        d, // mistake
    )
))]
pub struct Account {
    #[netabase(key)]
    id: u64,
    city: String,
    balance: i64,
    a: u8,
    b: u8,
    c: u8,
    d: u8,
}

fn main() {
    let _ = Account::by_all(..);
}
