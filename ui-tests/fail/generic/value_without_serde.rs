use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Tagged<T> {
    #[netabase(key)]
    id: u64,
    value: T,
}

#[derive(Clone, Deserialize)]
pub struct Plain;

fn record<R: netabase::Record>() {}

fn main() {
    record::<Tagged<Plain>>(); // mistake
}
