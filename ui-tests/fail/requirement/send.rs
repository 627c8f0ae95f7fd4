use std::cell::Cell;

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Page { // mistake
    #[netabase(key)]
    url: String,
    #[netabase(index)]
    title: String,
    views: Cell<u64>,
}

fn main() {}
