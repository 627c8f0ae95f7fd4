use netabase::prelude::*;

#[derive(NetabaseKey)]
pub struct Name<'a>(&'a str); // mistake

fn main() {}
