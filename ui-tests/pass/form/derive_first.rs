//! The derive before those that it needs.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(NetabaseSchema, Deserialize, Serialize, Clone)]
struct Account {
    #[netabase(key)]
    id: u64,
}

fn main() {
    let _ = Account { id: 1 }.key();
}
