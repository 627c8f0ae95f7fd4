//! Types called as those of std's prelude.
#![deny(warnings)]

mod mine {
    pub struct Result;
    pub struct Option;
    pub struct String;
    pub struct Vec;
    pub struct Box;
    pub trait Clone {}
    pub trait From {}
    pub trait Into {}
    pub trait Iterator {}
}

#[allow(unused_imports)]
use mine::*;
use netabase::{NetabaseKey, NetabaseSchema};

#[derive(::std::clone::Clone, serde::Serialize, serde::Deserialize, NetabaseKey)]
enum Status {
    Open,
}

#[derive(::std::clone::Clone, serde::Serialize, serde::Deserialize, NetabaseSchema)]
struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(key)]
    name: ::std::string::String,
    #[netabase(index)]
    status: Status,
}

#[derive(NetabaseSchema)]
enum Bank {
    Account(Account),
}

fn main() {
    let _ = (Account::by_status(Status::Open), <Bank as netabase::Schema>::Key::Account((1, "x").into()));
}
