//! Lints about the user's names and types are not found again in what is generated of them.
#![deny(warnings, unused_qualifications)]

extern crate netabase as store;

use serde::{Deserialize, Serialize};
use store::prelude::*;
use store::{Key, Member, Schema};

#[deprecated]
#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "account")]
pub struct AccountV1 {
    #[netabase(key)]
    pub id: u64,
}

#[allow(deprecated)]
#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 2, from = AccountV1, into = AccountV1)]
pub struct Account {
    #[netabase(key)]
    pub id: u64,
    #[netabase(index)]
    #[deprecated]
    pub city: String,
    #[netabase(index)]
    pub status: Status,
    #[netabase(index)]
    pub customer: CustomerId,
}

#[allow(deprecated)]
mod conversions {
    use super::{Account, AccountV1, CustomerId, Status};

    impl From<AccountV1> for Account {
        fn from(before: AccountV1) -> Self {
            Account { id: before.id, city: String::new(), status: Status::Open, customer: CustomerId(1) }
        }
    }

    impl From<Account> for AccountV1 {
        fn from(account: Account) -> Self {
            AccountV1 { id: account.id }
        }
    }
}

#[deprecated]
#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub enum Status {
    Open = 1,
    Closed = 5,
}

#[deprecated]
#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub struct CustomerId(pub u64);

#[allow(deprecated)]
#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "store")]
pub struct ByStatus {
    #[netabase(key)]
    pub status: Status,
    #[netabase(key)]
    pub customer: CustomerId,
}

#[allow(non_snake_case)]
#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Town {
    #[netabase(key)]
    pub Name: String,
    #[netabase(index)]
    pub Country: String,
}

#[expect(non_camel_case_types, reason = "the name is that of another program")]
#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct account_t {
    #[netabase(key)]
    pub id: u64,
}

#[derive(NetabaseSchema)]
#[netabase(crate = "store")]
pub enum Bank {
    Account(Account),
    #[deprecated]
    Town(Town),
    Other(account_t),
}

fn keys<S: Schema + Member<S>, K: Key>() {}

#[allow(deprecated)]
fn main() {
    keys::<Account, u64>();
    let _ = (Account::by_status(Status::Open), Account::by_city("x"), Town::by_Country("FR"), account_t::range(1..));
    let _ = (ByStatus::prefix(Status::Open), Account::by_customer(CustomerId(1)), Bank::Town);
}
