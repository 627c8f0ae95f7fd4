//! Numbers that ascend, one of them not written.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
#[repr(i8)]
#[allow(dead_code)]
enum Level {
    Below = -1,
    Ground,
    Roof = 9,
}

fn key<K: netabase::Key>() {}

fn main() {
    key::<Level>();
}
