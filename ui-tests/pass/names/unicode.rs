//! Fields with letters of other alphabets.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Straße {
    #[netabase(key)]
    näme: String,
    #[netabase(index)]
    länge: u32,
}

fn main() {
    let _ = Straße::by_länge(7);
    let _ = Straße { näme: "x".into(), länge: 1 }.key();
}
