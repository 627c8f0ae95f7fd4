//! Several attributes, with commas at their ends.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "accounts",)]
#[netabase(crate = "netabase",)]
struct Account {
    #[netabase(key,)]
    #[serde(rename = "ID")]
    id: u64,
    #[serde(default)]
    #[netabase(unique(name = "by_mail",),)]
    email: String,
}

fn main() {
    assert_eq!(<Account as netabase::Record>::NAME, "accounts");
    let _ = Account { id: 1, email: String::new() }.key();
    let _ = Account::by_mail("x");
}
