//! An enum as the key.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
enum Weekday {
    Monday,
    Sunday,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Plan {
    #[netabase(key)]
    day: Weekday,
}

fn main() {
    let _ = Plan::range(Weekday::Monday..=Weekday::Sunday);
    assert_eq!(Plan { day: Weekday::Sunday }.key().to_string(), "Sunday");
}
