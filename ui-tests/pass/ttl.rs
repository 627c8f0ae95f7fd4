//! Every type that says when a record expires, on records of every kind.

use std::time::{Duration, SystemTime};

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(ttl = "expires")]
pub struct Login {
    #[netabase(key)]
    id: u64,
    expires: SystemTime,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(ttl = "type")]
pub struct Lock {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    r#type: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(ttl = "expires")]
pub struct Tagged<T> {
    #[netabase(key)]
    id: u64,
    tag: T,
    expires: Option<SystemTime>,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(ttl = "1")]
pub struct Pair(#[netabase(key)] u64, Option<u64>);

mod before {
    use super::*;

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    pub struct Note {
        #[netabase(key)]
        pub id: u64,
    }
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 2, from = before::Note, ttl = "expires")]
pub struct Note {
    #[netabase(key)]
    id: u64,
    expires: Option<u64>,
}

impl From<before::Note> for Note {
    fn from(before::Note { id }: before::Note) -> Self {
        Note { id, expires: None }
    }
}

#[derive(NetabaseSchema)]
pub enum Everything {
    Login(Login),
    Lock(Lock),
    #[netabase(name = "tagged")]
    Tagged(Tagged<String>),
    Note(Note),
    Pair(Pair),
}

fn main() -> netabase::Result<()> {
    let store = netabase::store::Store::<Everything>::open("", StoreKind::Memory)?;
    let lasting = Login { id: 1, expires: SystemTime::now() + Duration::from_secs(3_600) };
    store.put_record(lasting.clone())?;
    store.put_record(Login { id: 2, expires: SystemTime::UNIX_EPOCH })?;
    store.put_record(Lock { id: 1, r#type: 1 })?;
    store.put_record(Tagged { id: 1, tag: "a".to_owned(), expires: None })?;
    store.put_record(Note { id: 1, expires: Some(u64::MAX) })?;
    store.put_record(Pair(1, Some(7)))?;
    assert_eq!(store.count(Pair::all())?, 0);
    assert_eq!(store.query(Login::all())?, [lasting]);
    assert_eq!((store.count(Lock::all())?, store.count(Tagged::<String>::all())?, store.count(Note::all())?), (0, 1, 1));
    Ok(())
}
