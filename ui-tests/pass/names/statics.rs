//! Constants and statics in lower case are no patterns of generated code, which a name alone would make them.
#![deny(warnings)]
#![allow(non_upper_case_globals, dead_code)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

macro_rules! constants {
    ($($name:ident)*) => { $(
        pub const $name: u8 = 1;
    )* };
}

constants! {
    value formatter other serializer deserializer input out state key one two position version bytes before error schema
    part_0 part_1 id
}

static record: u8 = 1;

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub enum Status {
    Open,
    Closed,
}

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub struct City(pub String);

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "account")]
pub struct AccountV1 {
    #[netabase(key)]
    pub city: City,
    #[netabase(key)]
    pub key: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 2, from = AccountV1, into = AccountV1, index(name = "by_both", fields(value, state)))]
pub struct Account {
    #[netabase(key)]
    pub city: City,
    #[netabase(key)]
    pub key: u64,
    #[netabase(index)]
    pub value: Option<Status>,
    #[netabase(unique)]
    pub state: String,
}

impl From<AccountV1> for Account {
    fn from(earlier: AccountV1) -> Self {
        Account { city: earlier.city, key: earlier.key, value: None, state: String::new() }
    }
}

impl From<Account> for AccountV1 {
    fn from(later: Account) -> Self {
        AccountV1 { city: later.city, key: later.key }
    }
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Single {
    #[netabase(key)]
    pub id: u64,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Account),
    Single(Single),
}

fn main() {
    let _ = (Account::by_value(Status::Open), Account::by_state("x"), Single::range(1..), record);
    let _ = Bank::from(Single { id: 1 });
}
