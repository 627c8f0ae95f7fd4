use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub struct Id(#[netabase(key)] u64); // mistake

fn main() {}
