//! A version may follow a generic record with its arguments given, and a record whose key is generic.
#![deny(warnings)]
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Tagged<T> {
    #[netabase(key)]
    pub id: u64,
    pub value: T,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 2, from = Tagged<u8>, into = Tagged::<u8>)]
pub struct Account {
    #[netabase(key)]
    pub id: u64,
    pub value: u8,
}

impl From<Tagged<u8>> for Account {
    fn from(before: Tagged<u8>) -> Self {
        Account { id: before.id, value: before.value }
    }
}

impl From<Account> for Tagged<u8> {
    fn from(account: Account) -> Self {
        Tagged { id: account.id, value: account.value }
    }
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Keyed<K> {
    #[netabase(key)]
    pub id: K,
    #[netabase(key)]
    pub number: u8,
}

macro_rules! follows {
    ($name:ident, $before:ty) => {
        #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
        #[netabase(version = 2, from = $before)]
        pub struct $name {
            #[netabase(key)]
            pub id: String,
            #[netabase(key)]
            pub number: u8,
        }
    };
}

follows!(Entry, Keyed<String>);

impl From<Keyed<String>> for Entry {
    fn from(before: Keyed<String>) -> Self {
        Entry { id: before.id, number: before.number }
    }
}

fn schema<S: netabase::Schema>() {}

fn main() {
    schema::<Account>();
    schema::<Entry>();
}
