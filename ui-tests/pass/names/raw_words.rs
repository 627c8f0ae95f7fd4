//! A word of the attribute means the same with `r#`.
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(r#name = "accounts", r#index(r#name = "by_city_nick", r#fields(city, nick)))]
pub struct Account {
    #[netabase(r#key)]
    pub id: u64,
    #[netabase(r#index)]
    pub city: String,
    #[netabase(r#unique(r#name = "by_nickname"))]
    pub nick: String,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    #[netabase(r#name = "people")]
    Account(Account),
}

fn main() {
    assert_eq!(Account::NAME, "accounts");
    let _ = (Account::by_city("Paris"), Account::by_nickname("x"), Account::by_city_nick(("Paris", "x")));
}
