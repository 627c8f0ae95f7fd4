use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account(#[netabase(key)] u64, #[netabase(index)] String); // mistake

fn main() {
    let _ = Account::range(1..2);
}
