use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseKey)]
pub struct AccountKey(pub u64);

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: AccountKey, // mistake
    #[netabase(index)]
    city: String,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Account),
}

fn main() {
    let account = Account { id: AccountKey(7), city: "Paris".to_owned() };
    let _ = (Account::range(AccountKey(1)..), Account::by_city("Paris"), account.key());
}
