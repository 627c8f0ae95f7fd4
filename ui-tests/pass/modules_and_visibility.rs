//! Records in modules, of one name, private ones, and shared by several schemas.
#![deny(warnings, missing_docs, unreachable_pub)]

use netabase::prelude::*;

mod one {
    use netabase::NetabaseSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    pub(crate) struct Account {
        #[netabase(key)]
        pub(crate) id: u64,
        #[netabase(index)]
        city: String,
    }

    impl Account {
        pub(super) fn new(id: u64) -> Account {
            Account { id, city: String::new() }
        }
    }
}

mod other {
    use netabase::NetabaseSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(name = "other_account")]
    pub(crate) struct Account {
        #[netabase(key)]
        name: String,
    }

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    struct Private {
        #[netabase(key)]
        id: u8,
        #[netabase(index)]
        never_searched_by: u8,
    }

    pub(super) fn private() {
        use netabase::Record;
        assert_eq!(Private { id: 1, never_searched_by: 2 }.key(), PrivateKey(1));
    }
}

#[derive(NetabaseSchema)]
enum Bank {
    Account(one::Account),
    Other(other::Account),
}

#[derive(NetabaseSchema)]
enum Shop {
    Customer(one::Account),
}

fn member<S: netabase::Schema, R: netabase::Member<S>>(_: &Query<R>) {}

fn main() {
    let query = one::Account::all();
    member::<Bank, _>(&query);
    member::<Shop, _>(&query);
    member::<one::Account, _>(&query);
    member::<Bank, _>(&other::Account::all());
    let _ = ShopLogEntry::PutCustomer(one::Account::new(1));
    let _ = (Shop::from(one::Account::new(1)), Bank::from(one::Account::new(2)));
    other::private();
}
