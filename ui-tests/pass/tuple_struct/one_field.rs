//! A record of one field without a name.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Word(#[netabase(key)] String);

fn main() {
    let _ = Word::range(starts_with("a"));
    assert_eq!(Word("x".into()).key(), WordKey("x".into()));
}
