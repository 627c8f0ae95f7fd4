//! A store in order, and each kind of damage.

use std::sync::Arc;

use super::*;
use crate::machine::Rule;
use crate::machine::fixture::{Person, catalog, index, note_id, person_id, put_note, versions};
use crate::storage::{Branch, Engine, MemoryEngine, Store, WriteSet};

fn people() -> Branch {
    let store = Store::open(Arc::new(MemoryEngine::default())).expect("it opens");
    let mut branch = Branch::new(store.view());
    let in_use = WriteSet { rows: versions().rows().expect("they encode"), ..WriteSet::default() };
    branch.write(in_use);
    let rule = Rule::new(&catalog());
    for id in 1..=9 {
        let person = Person { city: (id % 2 == 0).then_some(id), ..Person::new(id, 10 + id) };
        for write in [person.put(), put_note(id)] {
            let (rows, outcome) = rule.apply(&branch, &versions(), &write, 1).expect("memory reads");
            outcome.expect("it is not refused");
            branch.write(rows);
        }
    }
    branch
}

fn row(name: &str, id: u8) -> bytes::Bytes {
    let position = ["by_email", "by_city", "by_badge"].iter().position(|known| *known == name).expect("an index");
    let keys = Person { city: Some(id), ..Person::new(id, 10 + id) }.index_keys();
    layout::index_key(person_id(), index(name), keys[position].as_ref().expect("it has one"), &[id])
}

fn complaint(change: impl FnOnce(&mut WriteSet)) -> String {
    let mut branch = people();
    let mut rows = WriteSet::default();
    change(&mut rows);
    branch.write(rows);
    consistent(&branch, &catalog()).expect_err("it is damaged").to_string()
}

#[test]
fn what_is_in_order_is_counted() {
    assert_eq!(consistent(&people(), &catalog()).expect("in order"), Verified { records: 18, index_rows: 9 + 4 });
}

/// What no index shows: another value, and a record that is gone whole.
#[test]
fn rows_that_are_not_as_they_were_written_are_damage() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
    let mut store = Store::open(Arc::clone(&engine)).expect("it opens");
    store.begin_with(versions().rows().expect("they encode")).expect("memory takes it");
    let rule = Rule::new(&catalog());
    for id in 1..=3 {
        let mut draft = store.draft();
        let (rows, _) = rule.apply(&draft, &versions(), &put_note(id), id.into()).expect("memory reads");
        draft.write(rows);
        draft.install(id.into()).expect("memory reads");
    }
    let flush = store.begin_flush().expect("there are rows");
    drop(store.end_flush(flush.run([]).expect("memory takes it")).expect("it was out"));
    assert_eq!(verify(&store.view(), &catalog()).expect("in order").records, 3);
    let key = layout::record_key(note_id(), &[2]);
    for damage in [Some(layout::record_value(2, b"N\x02?")), None] {
        engine.write(&mut std::iter::once((key.clone(), damage)), true).expect("memory takes it");
        let damaged = Store::open(Arc::clone(&engine)).expect("it opens");
        let said = verify(&damaged.view(), &catalog()).expect_err("it is damaged").to_string();
        assert!(said.contains("their checksum is another one"), "{said}");
        let packed = damaged.durable_state().pack([7; 16], &crate::testing::ForgetfulDisk::new(), &|| true);
        assert!(packed.is_err(), "nor are they given to anybody");
    }
}

#[test]
fn damage_is_named() {
    let value = layout::index_value(&[1, 0]);
    let person = |id: u8| layout::record_key(person_id(), &[id]);
    let cases: [(&str, String); 7] = [
        ("a `person` is not in its index `by_email`", complaint(|rows| rows.remove(row("by_email", 3)))),
        (
            "the index `by_city` of `person` has 5 rows for 4 records",
            complaint(|rows| rows.put(row("by_city", 3), value.clone())),
        ),
        ("the index `by_email` of `person` has 9 rows for 8 records", complaint(|rows| rows.remove(person(3)))),
        (
            "a `person` does not decode: not a person",
            complaint(|rows| rows.put(person(3), layout::record_value(1, b"P?"))),
        ),
        (
            "a `person` lies under another key than its own",
            complaint(|rows| rows.put(person(3), layout::record_value(1, &Person::new(4, 13).encode()))),
        ),
        ("a `person` is cut off", complaint(|rows| rows.put(person(3), b"short".as_slice().into()))),
        (
            "is unique and has one value twice",
            complaint(|rows| {
                let email = Person::new(3, 13).index_keys()[0].clone().expect("it has one");
                rows.put(
                    layout::index_key(person_id(), index("by_email"), &email, &[200]),
                    layout::index_value(&email),
                );
            }),
        ),
    ];
    for (expected, said) in cases {
        assert!(said.contains(expected), "{said}");
    }
}
