//! A record for tests inside the crate.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
#[netabase(crate = "crate")]
pub(crate) struct Item {
    #[netabase(key)]
    pub(crate) id: u64,
    #[netabase(index)]
    pub(crate) name: String,
}
