//! Own keys that are called as types of std are.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

mod mine {
    use netabase::NetabaseKey;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
    pub struct String(pub u64);

    #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
    pub enum Option {
        Some,
        None,
    }
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: mine::String,
    #[netabase(index)]
    option: mine::Option,
}

fn main() {
    let _ = Account::range(mine::String(7)..);
    let _ = (Account::by_option(mine::Option::Some), Account::by_option(mine::Option::None));
}
