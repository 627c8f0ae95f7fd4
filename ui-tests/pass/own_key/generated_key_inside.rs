//! Another record's key in one's own.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
struct Owner(AccountKey);

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Car {
    #[netabase(key)]
    number: String,
    #[netabase(index)]
    owner: Owner,
}

fn main() {
    let _ = Car::by_owner(Owner(AccountKey(7)));
    let _ = Account { id: 1 }.key();
}
