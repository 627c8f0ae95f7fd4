use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct AccountV1 {
    #[netabase(key)]
    id: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version: 2, from = AccountV1)] // mistake
pub struct Account {
    #[netabase(key)]
    id: u64,
}

impl From<AccountV1> for Account {
    fn from(before: AccountV1) -> Self {
        Account { id: before.id }
    }
}

fn main() {}
