//! What a node reads from its disk, as anything may have left it: rows of the log and of the store, the card, the markers,
//! the mark, the schema. Damage is an error, never a panic.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::input::Input;
use super::sample::{Note, Person, catalog, exercise, founders, rows};
use crate::consensus::fuzz::log;
use crate::node::fuzz;
use crate::schema::{Descriptor, Record, codec};
use crate::storage::{Engine, MemoryEngine, layout};

/// The first byte says what it is.
pub fn disk_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 8 {
        0 => log::row(input.rest()),
        1 => log_file(&mut input),
        2 => fuzz::card(input.rest()),
        3 => fuzz::marker(input.rest()),
        4 => fuzz::mark(&input.array(), input.rest(), catalog(), founders()),
        5 => values(input.rest()),
        6 => descriptor(input.rest()),
        _ => store(&mut input),
    }
}

fn log_file(input: &mut Input<'_>) {
    let mut rows = Vec::new();
    while !input.is_empty() && rows.len() < 64 {
        let table = input.byte();
        // Small numbers meet each other.
        let mut number = || if input.flag() { input.number() } else { u64::from(input.byte() % 8) };
        let (epoch, round) = (number(), number());
        rows.push(log::Row { table, epoch, round, value: input.block() });
    }
    log::file(&rows);
}

fn values(bytes: &[u8]) {
    if let Ok(person) = Person::__decode(bytes) {
        let again = person.__encode().expect("what was read can be written");
        assert_eq!(Person::__decode(&again).expect("what was written can be read"), person);
        let rows = (Person::__GLUE.rows)(bytes).expect("it decodes");
        assert_eq!(rows.index_keys.len(), 3);
    }
    if let Ok(note) = Note::__decode(bytes) {
        let again = note.__encode().expect("what was read can be written");
        assert_eq!(Note::__decode(&again).expect("what was written can be read"), note);
    }
    let row = Bytes::copy_from_slice(bytes);
    let _ = (layout::split_record_key(&row), layout::split_record_value(&row), layout::split_session_key(&row));
    let (key, value) = bytes.split_at(bytes.len().saturating_sub(4));
    let _ = layout::split_index_row(&Bytes::copy_from_slice(key), value);
}

fn descriptor(bytes: &[u8]) {
    if let Ok(theirs) = codec::decode::<Descriptor>(bytes) {
        let _ = theirs.fingerprint();
        let ours = catalog();
        let (one, other) = (ours.descriptor().check(&theirs), theirs.check(ours.descriptor()));
        let _ = (one, other);
    }
}

/// A store of which rows were changed, added or lost.
fn store(input: &mut Input<'_>) {
    let mut rows: BTreeMap<Bytes, Bytes> = rows().into_iter().collect();
    while !input.is_empty() {
        let choice = input.byte();
        let Some(key) = rows.keys().nth(usize::from(choice) % rows.len().max(1)).cloned() else { break };
        match input.byte() % 6 {
            0 => drop(rows.remove(&key)),
            1 => drop(rows.insert(key, Bytes::copy_from_slice(input.block()))),
            2 => drop(rows.insert(Bytes::copy_from_slice(input.block()), Bytes::copy_from_slice(input.block()))),
            3 => {
                let value = rows.remove(&key).unwrap_or_default();
                rows.insert(Bytes::from([key.get(..1).unwrap_or_default(), input.block()].concat()), value);
            }
            _ => {
                let mut value = rows.remove(&key).unwrap_or_default().to_vec();
                let at = usize::from(input.byte()) % value.len().max(1);
                if let Some(byte) = value.get_mut(at) {
                    *byte = input.byte();
                }
                rows.insert(key, value.into());
            }
        }
    }
    let engine = MemoryEngine::default();
    engine.write(&mut rows.into_iter().map(|(key, value)| (key, Some(value))), true).expect("memory takes it");
    exercise(Arc::new(engine));
}
