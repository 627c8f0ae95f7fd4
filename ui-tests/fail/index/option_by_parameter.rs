use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Tagged<T> {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    tag: T,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Tagged(Tagged<Option<u8>>), // mistake
}

fn main() {}
