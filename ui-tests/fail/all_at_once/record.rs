use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(
    name = "my account", // mistake
    version = 0 // mistake
)]
pub struct Account { // mistake
    #[netabase(uniqe)] // mistake
    email: String,
    #[netabase(index, unique)] // mistake
    #[serde(flatten)] // mistake
    city: String,
}

fn main() {
    let _ = Account::range(1..2);
    let _ = Account::by_city("Paris");
}
