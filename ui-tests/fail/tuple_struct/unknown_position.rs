use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(name = "by_label", fields(1, 2)))] // mistake
pub struct Account(#[netabase(key)] u64, String);

fn main() {
    let _ = Account::by_label(("x", 1));
}
