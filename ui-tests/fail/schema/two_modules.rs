use netabase::prelude::*;

mod one {
    use netabase::NetabaseSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    pub struct Account {
        #[netabase(key)]
        id: u64,
    }
}

mod two {
    use netabase::NetabaseSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    pub struct Account {
        #[netabase(key)]
        name: String,
    }
}

#[derive(NetabaseSchema)]
pub enum Bank {
    One(one::Account),
    Two(two::Account), // mistake
}

fn schema<S: netabase::Schema>() {}

fn main() {
    schema::<Bank>();
}
