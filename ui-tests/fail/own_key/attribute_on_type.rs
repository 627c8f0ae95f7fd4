use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
#[netabase(unique)] // mistake
pub struct Id(u64);

fn main() {}
