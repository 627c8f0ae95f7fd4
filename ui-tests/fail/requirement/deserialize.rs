use netabase::prelude::*;
use serde::Serialize;

#[derive(Clone, Serialize, NetabaseSchema)]
pub struct Account { // mistake
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    city: String,
}

fn main() {
    let _ = Account::range(1..2);
    let _ = Account::by_city("Paris");
}
