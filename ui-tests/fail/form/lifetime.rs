use netabase::prelude::*;
use serde::Serialize;

#[derive(Clone, Serialize, NetabaseSchema)]
pub struct Account<'a> { // mistake
    #[netabase(key)]
    id: u64,
    city: &'a str,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Account<'static>),
}

fn main() {
    let _ = Account::all();
}
