//! A crate whose own names are those that generated code is made of.
#![allow(non_camel_case_types, dead_code)]

use netabase::NetabaseSchema;

mod std {}
mod core {}
mod alloc {}

mod types {
    pub struct Result;
    pub struct Vec;
    pub struct String;
    pub struct Query;
    pub struct Record;
    pub struct Key;
    pub trait Clone {}
    pub trait Ord {}
    pub struct Some;
    pub struct None;
    pub struct Ok;
    pub struct Err;
}

mod bank {
    use super::types::*;
    use netabase::NetabaseSchema;

    #[derive(::std::clone::Clone, serde::Serialize, serde::Deserialize, NetabaseSchema)]
    #[netabase(index(name = "by_bytes", fields(selection, r#fn, formatter, bytes, key)))]
    pub struct Account {
        #[netabase(key)]
        pub key: u32,
        #[netabase(key)]
        pub r#type: ::std::string::String,
        #[netabase(key)]
        pub self_: i8,
        #[netabase(index)]
        pub value: i16,
        #[netabase(index)]
        pub out: ::std::option::Option<i16>,
        #[netabase(index)]
        pub r#fn: i16,
        #[netabase(index)]
        pub formatter: i16,
        #[netabase(unique)]
        pub selection: i16,
        pub bytes: ::std::option::Option<::std::string::String>,
    }

    #[derive(NetabaseSchema)]
    pub enum Schema {
        Account(Account),
    }
}

macro_rules! record {
    ($name:ident, $field:ident: $ty:ty) => {
        #[derive(Clone, serde::Serialize, serde::Deserialize, NetabaseSchema)]
        pub struct $name {
            #[netabase(key)]
            pub $field: $ty,
        }
    };
}

record!(ByMacro, id: (u32, String));

fn main() {
    let _ = bank::Account::by_type_is_a_key();
    let _ = bank::Account::by_fn(1);
    let _ = bank::Account::by_out(1);
    let _ = bank::Account::by_bytes(netabase::leading((1, 2)));
    let _ = ByMacroKey::from((1, "x"));
}

impl bank::Account {
    fn by_type_is_a_key() -> netabase::Query<bank::Account> {
        <bank::Account as netabase::Record>::prefix((1, "x"))
    }
}
