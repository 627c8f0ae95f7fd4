//! One in another, and over a tuple.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
struct Name(String);

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
struct City {
    name: Name,
}

#[derive(Clone, Serialize, Deserialize, NetabaseKey)]
struct Place((City, Option<u8>));

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct House {
    #[netabase(key)]
    place: Place,
    #[netabase(unique)]
    city: City,
}

fn main() {
    let city = City { name: Name("Paris".into()) };
    let _ = (House::by_city(&city), House::by_city(starts_with("P")), House::range(Place((city, None))..));
}
