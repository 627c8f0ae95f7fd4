use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, NetabaseKey)]
pub enum Status {
    Open,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Task {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    status: Status, // mistake
}

fn main() {
    let _ = Task::by_status(..);
}
