//! Without any other derive: a key needs none.
#![deny(warnings)]

use netabase::prelude::*;

#[derive(NetabaseKey)]
struct Name(#[allow(dead_code)] String);

#[derive(NetabaseKey)]
enum One {
    #[allow(dead_code)]
    Only,
}

fn key<K: netabase::Key>() {}

fn main() {
    key::<(Name, One)>();
}
