use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub struct Place { // mistake
    row: u16,
    shelf: u16,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Shelf {
    #[netabase(key)]
    place: Place,
}

fn main() {}
