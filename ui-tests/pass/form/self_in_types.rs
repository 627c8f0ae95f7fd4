//! `Self` in the type of a field is the record, also where the derive writes the type down elsewhere.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

pub trait HasId {
    type Id;
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    pub id: [u8; Self::LEN],
    #[netabase(index)]
    pub tag: Option<[u8; Self::LEN]>,
}

impl Account {
    const LEN: usize = 4;
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Entry {
    #[netabase(key)]
    pub account: <Self as HasId>::Id,
    #[netabase(key)]
    pub number: u64,
}

impl HasId for Entry {
    type Id = u32;
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Tagged<T> {
    #[netabase(key)]
    pub id: <Self as HasId>::Id,
    pub value: T,
}

impl<T> HasId for Tagged<T> {
    type Id = u16;
}

fn main() {
    let _ = (Account::range([0; 4]..), Account::by_tag([0; 4]), Entry::prefix(7u32));
    let _ = Tagged { id: 1, value: 1.5 }.key();
}
