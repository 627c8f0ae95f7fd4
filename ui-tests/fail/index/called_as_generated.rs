use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub enum AccountByStatusKey {
    Open,
    Closed,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    status: Option<AccountByStatusKey>, // mistake
}

fn main() {
    let _ = Account::by_status(AccountByStatusKey::Open..=AccountByStatusKey::Closed);
}
