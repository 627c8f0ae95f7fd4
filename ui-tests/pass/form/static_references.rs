//! A record owns what is stored of it; what is not stored, or made by a function of the user's, may be a reference.
#![deny(warnings)]

use std::marker::PhantomData;

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(PartialEq)]
pub struct Kind(&'static str);

static KINDS: [Kind; 2] = [Kind("a"), Kind("b")];

mod kind {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{KINDS, Kind};

    pub fn serialize<S: Serializer>(kind: &&'static Kind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*kind == &KINDS[1])
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Kind, D::Error> {
        bool::deserialize(deserializer).map(|second| &KINDS[usize::from(second)])
    }
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    pub id: u64,
    #[serde(skip)]
    pub shown: Option<&'static str>,
    #[serde(with = "kind")]
    pub kind: &'static Kind,
    pub marker: PhantomData<&'static str>,
}

fn main() {
    let account = Account { id: 1, shown: None, kind: &KINDS[0], marker: PhantomData };
    let _ = (Account::all(), account.key(), account.kind.0);
}
