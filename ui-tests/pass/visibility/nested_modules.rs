//! Records deep in modules, of one name, in one schema.
#![deny(warnings)]

use netabase::prelude::*;

mod a {
    pub mod b {
        use netabase::NetabaseSchema;
        use serde::{Deserialize, Serialize};

        #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
        pub struct Account(#[netabase(key)] pub u8);
    }

    pub mod c {
        use netabase::NetabaseSchema;
        use serde::{Deserialize, Serialize};

        #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
        pub struct Account(#[netabase(key)] pub String);
    }
}

#[derive(NetabaseSchema)]
enum All {
    B(a::b::Account),
    #[netabase(name = "c")]
    C(a::c::Account),
}

#[derive(NetabaseSchema)]
enum Few {
    Account(a::b::Account),
}

fn schema<S: netabase::Schema>() {}

fn main() {
    schema::<All>();
    schema::<Few>();
    let _ = (All::from(a::b::Account(1)), Few::from(a::b::Account(1)), All::from(a::c::Account("x".into())));
    let _ = a::b::Account::all();
}
