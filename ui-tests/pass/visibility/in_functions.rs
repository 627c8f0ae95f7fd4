//! Types in functions, closures and blocks, some with one name.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

fn one() {
    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    struct Account {
        #[netabase(key)]
        id: u64,
    }
    let _ = Account { id: 1 }.key();
}

fn main() {
    one();
    let local = || {
        #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
        struct Id(u8);

        #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
        struct Account(#[netabase(key)] Id);

        #[derive(NetabaseSchema)]
        enum Bank {
            Account(Account),
        }
        Bank::from(Account(Id(1)))
    };
    let _ = local();
}
