//! A record written by hand, for tests inside the crate.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::schema::{
    Agreed, IndexGlue, Key, Member, Record, RecordClone, RecordDeserialize, RecordGlue, RecordSerialize, Schema, describe,
    glue,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: u64,
    pub(crate) name: String,
}

impl Record for Item {
    type Key = u64;
    const NAME: &'static str = "item";
    fn key(&self) -> u64 {
        self.id
    }
    fn __clone(&self) -> Self {
        self.__clone_record()
    }
    fn __encode(&self) -> Result<Vec<u8>, Error> {
        self.__to_value(Self::NAME)
    }
    fn __decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::__from_value(bytes, Self::NAME)
    }
    fn __index_keys(&self) -> Vec<Option<Vec<u8>>> {
        vec![Some(self.name.to_bytes())]
    }
    const __GLUE: RecordGlue = glue::<Item>(
        &[IndexGlue { name: "name", unique: false, form: <String as Key>::form }],
        || describe::<Item>(&["id"]),
    );
}
impl Schema for Item {
    type Key = u64;
    type LogEntry = ();
    const __RECORDS: &'static [RecordGlue] = &[Item::__GLUE];
}
impl Member<Item> for Item {
    const __NAME: &'static str = "item";
}
impl Agreed for Item {}
