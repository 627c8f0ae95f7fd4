use std::cell::Cell;

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub struct Id(Cell<u64>); // mistake

fn main() {}
