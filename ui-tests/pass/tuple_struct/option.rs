//! An index of an `Option` without a name.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct User(#[netabase(key)] u64, #[netabase(unique(name = "by_mail"))] Option<String>);

fn main() {
    let _ = User::by_mail("a@x.org");
    let _ = User(1, None).key();
}
