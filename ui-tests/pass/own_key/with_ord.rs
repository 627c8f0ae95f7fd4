//! With all of std's derives beside it.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, NetabaseKey)]
enum Status {
    #[default]
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, NetabaseKey)]
struct Id(u32);

fn key<K: netabase::Key + Ord>() {}

fn main() {
    key::<(Status, Option<Id>)>();
    let _ = Status::Closed;
}
