//! A schema by hand, for tests of what lies below the derive.
//!
//! `person`: id, unique email, city if any, unique badge if any, payload. `note`: no index.

use bytes::Bytes;

use super::roster::Roster;
use super::versions::Versions;
use crate::command::{BatchBuilder, Command, Entry, EntryIds, SessionId, Write};
use crate::schema::{
    Catalog, Form, IndexDescriptor, IndexGlue, IndexId, KeyForm, RecordDescriptor, RecordGlue, RecordId, RecordRows,
    Shape, VersionDescriptor,
};

pub(super) static RECORDS: [RecordGlue; 2] = [
    RecordGlue {
        name: "person",
        version: b'P',
        indexes: &[
            IndexGlue { name: "by_email", unique: true, form: || KeyForm::Bytes },
            IndexGlue { name: "by_city", unique: false, form: || KeyForm::Bytes },
            IndexGlue { name: "by_badge", unique: true, form: || KeyForm::Bytes },
        ],
        rows: |value| Person::decode(value).map(|person| person.rows()).ok_or_else(|| "not a person".to_owned()),
        convert: |_| Err("there is one version".to_owned()),
        describe: || Ok(RecordDescriptor { name: "person".to_owned(), versions: Vec::new() }),
        before: None,
        eventual: false,
    },
    RecordGlue {
        name: "note",
        version: b'N',
        indexes: &[],
        rows: |value| match value {
            [b'N', key, ..] => Ok(RecordRows { key: vec![*key], index_keys: Vec::new() }),
            _ => Err("not a note".to_owned()),
        },
        convert: |_| Err("there is one version".to_owned()),
        describe: || note(Vec::new()),
        before: None,
        eventual: false,
    },
];

/// Notes as they were not before: with an index.
pub(super) static OTHER_RECORDS: [RecordGlue; 1] = [RecordGlue {
    indexes: &[IndexGlue { name: "by_key", unique: true, form: || KeyForm::Bytes }],
    describe: || {
        let index = IndexDescriptor { name: "by_key".to_owned(), unique: true, form: KeyForm::Bytes };
        note(vec![index])
    },
    ..RECORDS[1]
}];

fn note(indexes: Vec<IndexDescriptor>) -> Result<RecordDescriptor, String> {
    let shape = Shape { root: Form::Unseen, types: Vec::new() };
    let version = VersionDescriptor::new(b'N', Vec::new(), KeyForm::Bytes, shape, indexes);
    Ok(RecordDescriptor { name: "note".to_owned(), versions: vec![version] })
}

/// Of a cluster that began with these records.
pub(super) fn founders() -> Roster {
    Roster::founded([], catalog().newest())
}

pub(super) fn versions() -> Versions {
    Versions::founded(&catalog().newest())
}

pub(super) fn catalog() -> Catalog {
    Catalog::new(&RECORDS).expect("two records with distinct names")
}

pub(super) fn person_id() -> RecordId {
    RecordId::named("person")
}

pub(super) fn note_id() -> RecordId {
    RecordId::named("note")
}

pub(super) fn index(name: &str) -> IndexId {
    IndexId::named(name)
}

/// Stored as `P`, id, email, city (0: none), badge (0: none), payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) id: u8,
    pub(super) email: u8,
    pub(super) city: Option<u8>,
    pub(super) badge: Option<u8>,
    pub(super) payload: Vec<u8>,
}

impl Person {
    pub(super) fn new(id: u8, email: u8) -> Person {
        Person { id, email, city: None, badge: None, payload: Vec::new() }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut value = vec![b'P', self.id, self.email, self.city.unwrap_or(0), self.badge.unwrap_or(0)];
        value.extend(&self.payload);
        value.into()
    }

    pub(super) fn decode(value: &[u8]) -> Option<Person> {
        let [b'P', id, email, city, badge, payload @ ..] = value else {
            return None;
        };
        let some = |byte: &u8| (*byte != 0).then_some(*byte);
        Some(Person { id: *id, email: *email, city: some(city), badge: some(badge), payload: payload.to_vec() })
    }

    fn rows(&self) -> RecordRows {
        RecordRows { key: vec![self.id], index_keys: self.index_keys() }
    }

    /// Of different lengths, and prefix-free as real ones are: terminated.
    pub(super) fn index_keys(&self) -> Vec<Option<Vec<u8>>> {
        let terminated = |byte: u8| [vec![byte; 1 + usize::from(byte % 3)], vec![0]].concat();
        vec![Some(terminated(self.email)), self.city.map(terminated), self.badge.map(terminated)]
    }

    pub(super) fn put(&self) -> Write {
        Write::Put { record: person_id(), value: self.encode() }
    }

    pub(super) fn insert(&self) -> Write {
        Write::Insert { record: person_id(), value: self.encode() }
    }

    pub(super) fn remove(id: u8) -> Write {
        Write::Remove { record: person_id(), key: Bytes::copy_from_slice(&[id]) }
    }
}

pub(super) fn put_note(key: u8) -> Write {
    Write::Put { record: note_id(), value: Bytes::copy_from_slice(&[b'N', key]) }
}

pub(super) fn write(session: SessionId, number: u64, floor: u64, write: Write) -> Command {
    Command::Execute { session, number, floor, action: write.into() }
}

pub(super) fn entry(commands: &[Command]) -> Entry {
    let mut builder = BatchBuilder::new();
    assert!(commands.iter().all(|command| builder.push(&command.encode())), "a test's entry is small");
    let body = builder.finish();
    Entry { id: EntryIds::new([0; 16]).next(&body), body }
}
