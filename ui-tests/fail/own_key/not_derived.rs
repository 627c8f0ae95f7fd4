use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    Open,
    Closed,
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
