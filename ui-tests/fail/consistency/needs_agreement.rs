use netabase::Agreed;
use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(consistency = "eventual")]
pub struct Reading {
    #[netabase(key)]
    id: u64,
}

// As of a handle: `transaction`, `linearizable().get_record` and so on.
fn in_a_transaction<R: Agreed>(_record: R) {}

fn main() {
    in_a_transaction(Reading { id: 7 }); // mistake
}
