use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Tagged<T> {
    #[netabase(key)]
    id: T,
}

fn record<R: netabase::Record>() {}

fn main() {
    record::<Tagged<f64>>(); // mistake
}
