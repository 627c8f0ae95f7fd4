//! A type that comes out of a macro, or stands in parentheses, is what it would be without.
#![deny(warnings)]
#![allow(unused_parens)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

macro_rules! record {
    ($name:ident, $key:ty, $ty:ty) => {
        #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
        pub struct $name {
            #[netabase(key)]
            pub id: $key,
            #[netabase(unique)]
            pub mail: $ty,
        }
    };
}

record!(Account, u64, Option<String>);

macro_rules! schema {
    ($name:ident, $ty:ty) => {
        #[derive(NetabaseSchema)]
        pub enum $name {
            Account($ty),
            City((City)),
        }
    };
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct City {
    #[netabase(key)]
    pub id: (u64),
    #[netabase(index)]
    pub country: (Option<String>),
}

schema!(World, Account);

fn main() {
    let _ = (Account::by_mail("a@x.org"), City::by_country("FR"), Account::range(1..), City::range(1..));
    let _ = World::from(City { id: 1, country: None });
}
