use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub enum Status {
    Open,
}

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub enum Color {
    Red,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Task {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    status: Status,
}

fn main() {
    let _ = Task::by_status(Color::Red); // mistake
}
