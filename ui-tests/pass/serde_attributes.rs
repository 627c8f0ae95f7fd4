//! serde's attributes that stored bytes have no quarrel with.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Account {
    #[netabase(key)]
    #[serde(rename = "ID")]
    id: u64,
    #[serde(default)]
    #[netabase(index)]
    city: String,
    #[serde(skip)]
    cache: Option<u8>,
    #[serde(skip_serializing, skip_deserializing, default)]
    other_cache: u8,
    #[serde(with = "text")]
    number: u8,
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn main() {
    let account = Account { id: 1, city: "x".into(), cache: None, other_cache: 0, number: 7 };
    let (cache, other, number) = (account.cache, account.other_cache, account.number);
    assert_eq!((account.key(), cache, other, number), (AccountKey(1), None, 0, 7));
}
