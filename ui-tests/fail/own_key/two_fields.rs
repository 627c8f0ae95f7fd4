use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
pub struct Place(u16, u16); // mistake

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Shelf {
    #[netabase(key)]
    place: Place,
}

fn main() {}
