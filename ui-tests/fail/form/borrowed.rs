use netabase::prelude::*;
use serde::Serialize;

#[derive(Clone, Serialize, NetabaseSchema)]
pub struct Account { // mistake
    #[netabase(key)]
    id: u64,
    city: &'static str,
}

fn main() {}
