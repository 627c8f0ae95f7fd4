use netabase::prelude::*;
use serde::{Deserialize, Serialize};

type Maybe<T> = Option<T>;

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    town: Maybe<String>, // mistake
}

fn main() {}
