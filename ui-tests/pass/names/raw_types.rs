//! Types and variants called as keywords are.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[allow(non_camel_case_types)]
mod types {
    use super::*;

    #[derive(Clone, Serialize, Deserialize, NetabaseKey)]
    pub enum r#enum {
        r#type,
        r#fn,
    }

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    pub struct r#match {
        #[netabase(key)]
        pub r#type: r#enum,
        #[netabase(unique)]
        pub r#struct: u8,
    }

    #[derive(NetabaseSchema)]
    pub enum r#trait {
        r#match(r#match),
    }
}

use types::{r#enum, r#match, r#trait};

fn main() {
    let record = r#match { r#type: r#enum::r#fn, r#struct: 1 };
    assert_eq!(<r#match as netabase::Record>::NAME, "match");
    assert_eq!(record.key().to_string(), "fn");
    let _ = (r#match::by_struct(1), r#trait::from(record), r#enum::r#type);
}
