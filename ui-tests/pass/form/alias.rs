//! Key types under other names.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

type Id = u64;
type Mail = String;
type Name = Label;

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
struct Label(Mail);

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: Id,
    #[netabase(key)]
    name: Name,
    #[netabase(unique)]
    mail: Mail,
}

fn main() {
    let _ = (Account::prefix(7), Account::by_mail("x"), Account::range((7, Label("x".into()))..));
}
