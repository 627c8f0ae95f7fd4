//! A record in its third version, which is read and written through the two before it.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

mod before {
    use super::*;

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    pub struct Account {
        #[netabase(key)]
        pub id: u64,
        #[netabase(index)]
        pub name: String,
    }

    /// Two keys of one name, and an index more.
    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(version = 2, from = Account, into = Account)]
    pub struct AccountV2 {
        #[netabase(key)]
        pub id: u64,
        #[netabase(unique)]
        pub name: String,
        pub visits: u32,
    }

    impl From<Account> for AccountV2 {
        fn from(before: Account) -> Self {
            AccountV2 { id: before.id, name: before.name, visits: 0 }
        }
    }

    impl From<AccountV2> for Account {
        fn from(later: AccountV2) -> Self {
            Account { id: later.id, name: later.name }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 3, from = before::AccountV2, name = "account")]
pub struct Account {
    #[netabase(key)]
    id: u64,
    visits: u64,
}

impl From<before::AccountV2> for Account {
    fn from(before: before::AccountV2) -> Self {
        Account { id: before.id, visits: before.visits.into() }
    }
}

/// Nothing was stored before that would have to be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 7)]
pub struct Note {
    #[netabase(key)]
    account: u64,
    #[netabase(key)]
    number: u32,
}

#[derive(NetabaseSchema)]
pub enum Bank {
    Account(Account),
    Note(Note),
}

fn main() {
    let directory = std::env::temp_dir().join(format!("netabase-versions-{}", std::process::id()));
    let store = netabase::store::Store::<Bank>::open(&directory, StoreKind::Memory).expect("it opens");
    store.put_record(Account { id: 1, visits: 3 }).expect("it is taken");
    store.put_record(Note { account: 1, number: 2 }).expect("it is taken");
    assert_eq!(store.query(Account::all()).expect("it reads"), [Account { id: 1, visits: 3 }]);
    assert_eq!(store.query(Note::prefix(1)).expect("it reads").len(), 1);
}
