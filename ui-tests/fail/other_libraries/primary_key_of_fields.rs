use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(primary_key(video, tag))] // mistake
pub struct Tag {
    #[netabase(key)]
    video: u64,
    #[netabase(key)]
    tag: u64,
}

fn main() {}
