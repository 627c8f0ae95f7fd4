//! Records that are not agreed on, in a store, beside others; and the default, written out.

use netabase::StoreKind;
use netabase::prelude::*;
use netabase::store::Store;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(consistency = "eventual", name = "readings")]
pub struct Reading {
    #[netabase(key)]
    sensor: u64,
    #[netabase(key)]
    at_ms: u64,
    #[netabase(index)]
    celsius: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(consistency = "linearizable")]
pub struct Sensor {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    address: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(version = 2, from = before::Note, consistency = "eventual")]
pub struct Note<T> {
    #[netabase(key)]
    id: u64,
    tag: Option<T>,
}

mod before {
    use super::*;

    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(consistency = "eventual")]
    pub struct Note {
        #[netabase(key)]
        pub id: u64,
    }
}

impl<T> From<before::Note> for Note<T> {
    fn from(before::Note { id }: before::Note) -> Self {
        Note { id, tag: None }
    }
}

#[derive(NetabaseSchema)]
pub enum House {
    Reading(Reading),
    Sensor(Sensor),
    Note(Note<String>),
}

fn agreed<R: netabase::Agreed>(_record: R) {}

fn main() -> netabase::Result<()> {
    let store = Store::<House>::open("unused", StoreKind::Memory)?;
    let reading = Reading { sensor: 1, at_ms: 2, celsius: 3 };
    store.put_record(reading.clone())?;
    store.put_record(Note { id: 1, tag: Some("cellar".to_owned()) })?;
    assert_eq!(store.query(Reading::by_celsius(3))?, [reading]);
    agreed(Sensor { id: 1, address: "10.0.0.1".to_owned() });
    Ok(())
}
