//! Types defined in a function, as tests do.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

fn main() {
    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    struct Local {
        #[netabase(key)]
        id: u8,
        #[netabase(unique)]
        name: String,
    }

    #[derive(NetabaseSchema)]
    enum Schema {
        Local(Local),
    }

    let _ = Schema::from(Local { id: 1, name: String::new() });
    let _ = Local::by_name("x").limit(1);
}
