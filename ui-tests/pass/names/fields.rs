//! Fields called as the variables of generated code.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    key: u8,
    #[netabase(key)]
    self_: u8,
    #[netabase(key)]
    tx: u8,
    #[netabase(key)]
    r#type: u8,
    #[netabase(key)]
    other: u8,
    #[netabase(key)]
    record: u8,
    #[netabase(index)]
    formatter: Option<String>,
    #[netabase(index)]
    bytes: Option<String>,
    #[netabase(index)]
    value: Option<String>,
    #[netabase(index)]
    input: Option<String>,
    #[netabase(index)]
    out: Option<String>,
    #[netabase(index)]
    position: Option<String>,
    #[netabase(index)]
    serializer: Option<String>,
    #[netabase(index)]
    deserializer: Option<String>,
    #[netabase(index)]
    state: Option<String>,
    #[netabase(index)]
    schema: Option<String>,
    #[netabase(index)]
    selection: Option<String>,
    #[netabase(index)]
    part: Option<String>,
    #[netabase(index)]
    part_0: Option<String>,
    #[netabase(index)]
    query: Option<String>,
}

fn main() {
    assert_eq!(Account::default().key().to_string(), "0/0/0/0/0/0");
    let _ = (Account::by_value("x"), Account::by_formatter("x"));
}
