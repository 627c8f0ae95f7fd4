use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
enum Status {
    Open,
    Closed,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Order {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    status: Status, // mistake
}

fn main() {
    let _ = Order::by_status(Status::Open..=Status::Closed);
}
