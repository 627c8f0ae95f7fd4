//! What is deprecated is used by generated code all the same.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[allow(deprecated)]
mod old {
    use super::*;

    #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
    pub enum Status {
        Open,
        #[deprecated]
        Lost,
    }
}

use old::Status;

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Task {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    status: Status,
}

fn main() {
    let _ = (Task::by_status(Status::Open), Task { id: 1, status: Status::Open }.key());
}
