use netabase::prelude::*;

#[derive(NetabaseKey)]
pub union Either { // mistake
    number: u64,
    flag: bool,
}

fn main() {}
