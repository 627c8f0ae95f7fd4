//! By a macro, with its types passed in.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($name:ident, $ty:ty, $record:ident) => {
        #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
        struct $name($ty);

        #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
        struct $record(#[netabase(key)] $name);
    };
}

id!(UserId, u64, User);
id!(TeamId, (u8, String), Team);

fn main() {
    let _ = (User::range(UserId(7)..), Team::range(TeamId((1, "x".into()))..));
}
