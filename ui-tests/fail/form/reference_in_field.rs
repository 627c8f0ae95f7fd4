use netabase::prelude::*;
use serde::Serialize;

#[derive(Clone, Serialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    city: Option<&'static str>, // mistake
}

fn main() {
    let _ = Account::by_city("Paris");
}
