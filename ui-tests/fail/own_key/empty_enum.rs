use netabase::prelude::*;

#[derive(NetabaseKey)]
pub enum Status {} // mistake

fn main() {}
