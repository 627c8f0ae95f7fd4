//! The rule, by comparing values: some cases by hand, then random writes against a naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::machine::fixture::{Person, catalog, index, note_id, person_id, put_note, versions};
use crate::storage::{MemoryEngine, Store};

/// Rows in memory, to which outcomes are applied as the machine does.
struct Bench {
    store: Store,
    rule: Rule,
}

impl Bench {
    fn new() -> Bench {
        let store = Store::open(std::sync::Arc::new(MemoryEngine::default())).expect("it opens");
        Bench { store, rule: Rule::new(&catalog()) }
    }

    fn apply(&mut self, write: &Write) -> (WriteSet, Outcome) {
        let round = self.store.applied() + 1;
        let (changes, outcome) = self.rule.apply(&self.store.view(), &versions(), write, round).expect("memory reads");
        self.set(changes.clone());
        (changes, outcome)
    }

    /// Applies a write of which nothing is to be learned.
    fn does(&mut self, write: &Write) {
        self.apply(write).1.expect("it is not refused");
    }

    fn set(&mut self, changes: WriteSet) {
        let round = self.store.applied() + 1;
        let mut draft = self.store.draft();
        draft.write(changes);
        draft.install(round).expect("memory reads");
    }

    fn rows(&self) -> BTreeMap<Bytes, Bytes> {
        let view = self.store.view();
        let mut rows: BTreeMap<_, _> = view.scan_prefix(&[]).expect("a scan").map(|row| row.expect("a row")).collect();
        rows.retain(|key, _| key[0] < layout::SPACE_SESSION);
        rows
    }
}

fn done(round: u64, existed: bool) -> Outcome {
    Ok(Applied { round, existed })
}

fn index_row(person: &Person, position: usize) -> (Bytes, Bytes) {
    let name = ["by_email", "by_city", "by_badge"][position];
    let index_key = person.index_keys()[position].clone().expect("it is in the index");
    (layout::index_key(person_id(), index(name), &index_key, &[person.id]), layout::index_value(&index_key))
}

fn record_row(person: &Person, round: u64) -> (Bytes, Bytes) {
    (layout::record_key(person_id(), &[person.id]), layout::record_value(round, &person.encode()))
}

#[test]
fn index_rows_follow_their_record() {
    let mut bench = Bench::new();
    let first = Person { city: Some(7), ..Person::new(1, 10) };
    assert_eq!(bench.apply(&first.put()).1, done(1, false));
    assert_eq!(bench.rows(), [record_row(&first, 1), index_row(&first, 0), index_row(&first, 1)].into());

    let moved = Person { city: None, badge: Some(3), ..first.clone() };
    let (changes, outcome) = bench.apply(&moved.put());
    assert_eq!(outcome, done(2, true));
    assert_eq!(changes.rows.len(), 3, "the email's row did not change and is not written: {changes:?}");
    assert_eq!(bench.rows(), [record_row(&moved, 2), index_row(&moved, 0), index_row(&moved, 2)].into());

    let renamed = Person { email: 11, ..moved };
    assert_eq!(bench.apply(&renamed.put()).1, done(3, true));
    assert_eq!(bench.rows(), [record_row(&renamed, 3), index_row(&renamed, 0), index_row(&renamed, 2)].into());

    assert_eq!(bench.apply(&Person::remove(1)).1, done(4, true));
    assert_eq!(bench.rows(), BTreeMap::new());
    assert_eq!(bench.apply(&Person::remove(1)), (WriteSet::default(), done(5, false)));
}

#[test]
fn a_write_tells_what_it_did_and_a_refused_one_nothing() {
    let mut bench = Bench::new();
    let change = |person: &Person, before: Option<(u64, &Person)>, there: bool| Change {
        record: person_id(),
        key: Bytes::copy_from_slice(&[person.id]),
        before: before.map(|(round, before)| (round, before.encode())),
        after: there.then(|| person.encode()),
    };
    let (first, second) = (Person::new(1, 10), Person { city: Some(3), ..Person::new(1, 10) });
    assert_eq!(bench.apply(&first.put()).0.change, Some(change(&first, None, true)));
    assert_eq!(bench.apply(&second.put()).0.change, Some(change(&second, Some((1, &first)), true)));
    assert_eq!(
        bench.apply(&second.put()).0.change,
        Some(change(&second, Some((2, &second)), true)),
        "a write happened"
    );
    assert_eq!(bench.apply(&Person::new(2, 10).put()).0.change, None);
    assert_eq!(bench.apply(&second.insert()).0.change, None);
    assert_eq!(bench.apply(&Person::remove(2)).0.change, None, "there was nothing to remove");
    assert_eq!(bench.apply(&Person::remove(1)).0.change, Some(change(&second, Some((3, &second)), false)));
}

#[test]
fn a_unique_key_is_its_first_record_s() {
    let mut bench = Bench::new();
    let taken = Err(Refusal::UniqueViolation { record: person_id(), index: index("by_email") });
    bench.does(&Person::new(1, 10).put());
    assert_eq!(bench.apply(&Person::new(2, 10).put()), (WriteSet::default(), taken.clone()));
    assert_eq!(bench.apply(&Person::new(2, 10).insert()).1, taken);
    assert_eq!(bench.apply(&Person { city: Some(1), ..Person::new(1, 10) }.put()).1, done(4, true), "its own");
    assert_eq!(bench.apply(&Person::new(2, 20).put()).1, done(5, false));
    assert_eq!(bench.apply(&Person::new(2, 10).put()).1, taken, "by an update too");
    bench.does(&Person::new(1, 11).put());
    assert_eq!(bench.apply(&Person::new(2, 10).put()).1, done(8, true), "given up by an update");
    bench.does(&Person::remove(2));
    assert_eq!(bench.apply(&Person::new(3, 10).put()).1, done(10, false), "given up by a removal");
    // Without a badge, nobody has the same one.
    let badge = |id, badge| Person { badge, ..Person::new(id, id) };
    assert_eq!(bench.apply(&badge(30, Some(5)).put()).1, done(11, false));
    let taken = Err(Refusal::UniqueViolation { record: person_id(), index: index("by_badge") });
    assert_eq!(bench.apply(&badge(31, Some(5)).put()).1, taken);
    assert_eq!(bench.apply(&badge(31, None).put()).1, done(13, false));
}

#[test]
fn refusals_are_outcomes_and_change_nothing() {
    let mut bench = Bench::new();
    bench.does(&Person::new(1, 10).put());
    let before = bench.rows();
    let record = person_id();
    assert_eq!(bench.apply(&Person::new(1, 12).insert()).1, Err(Refusal::AlreadyExists { record }));
    let garbage = Write::Put { record, value: Bytes::from_static(b"P") };
    assert_eq!(bench.apply(&garbage).1, Err(Refusal::undecodable(record, "not a person".to_owned())));
    for write in [
        Write::Put { record: RecordId(1), value: Bytes::new() },
        Write::Insert { record: RecordId(1), value: Bytes::new() },
        Write::Remove { record: RecordId(1), key: Bytes::new() },
    ] {
        assert_eq!(bench.apply(&write).1, Err(Refusal::UnknownRecord { record: RecordId(1) }));
    }
    assert_eq!(bench.rows(), before);
}

/// A row that the disk damaged must neither panic nor leave index rows behind.
#[test]
fn a_stored_record_that_does_not_decode_is_an_outcome() {
    let stranger = record_row(&Person::new(2, 9), 1).1;
    for row in [&b""[..], b"short", b"12345678garbage", &stranger] {
        let mut bench = Bench::new();
        bench.does(&Person::new(1, 10).put());
        let mut damage = WriteSet::default();
        damage.put(layout::record_key(person_id(), &[1]), Bytes::copy_from_slice(row));
        bench.set(damage);
        let before = bench.rows();
        for write in [Person::new(1, 11).put(), Person::remove(1)] {
            let outcome = bench.apply(&write).1;
            assert!(matches!(outcome, Err(Refusal::Undecodable { .. })), "{outcome:?}");
        }
        assert_eq!(bench.apply(&Person::new(1, 11).insert()).1, Err(Refusal::AlreadyExists { record: person_id() }));
        assert_eq!(bench.rows(), before);
    }
    // Without indexes there is nothing to learn from the old value, and a write heals it.
    let mut bench = Bench::new();
    let mut damage = WriteSet::default();
    damage.put(layout::record_key(note_id(), &[1]), Bytes::new());
    bench.set(damage);
    assert_eq!(bench.apply(&put_note(1)).1, done(2, true));
}

/// What the rule must come to, without any thought of rows: a map of people, searched from end to end.
#[derive(Default)]
struct Model {
    people: BTreeMap<u8, (u64, Person)>,
}

impl Model {
    fn apply(&mut self, step: &Step, round: u64) -> Outcome {
        let record = person_id();
        match step {
            Step::Remove(id) => done(round, self.people.remove(id).is_some()),
            Step::Put(person) | Step::Insert(person) => {
                let existed = self.people.contains_key(&person.id);
                if existed && matches!(step, Step::Insert(_)) {
                    return Err(Refusal::AlreadyExists { record });
                }
                let mut others = self.people.values().map(|(_, other)| other).filter(|other| other.id != person.id);
                if others.clone().any(|other| other.email == person.email) {
                    return Err(Refusal::UniqueViolation { record, index: index("by_email") });
                }
                if person.badge.is_some() && others.any(|other| other.badge == person.badge) {
                    return Err(Refusal::UniqueViolation { record, index: index("by_badge") });
                }
                self.people.insert(person.id, (round, person.clone()));
                done(round, existed)
            }
        }
    }

    fn rows(&self) -> BTreeMap<Bytes, Bytes> {
        let people = self.people.values();
        let indexed = |(_, person): &(u64, Person)| {
            let positions = (0..3).filter(|position| person.index_keys()[*position].is_some());
            positions.map(|position| index_row(person, position)).collect::<Vec<_>>()
        };
        people.clone().map(|(round, person)| record_row(person, *round)).chain(people.flat_map(indexed)).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Person),
    Insert(Person),
    Remove(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let person = (1..6_u8, 1..7_u8, prop::option::of(1..4_u8), prop::option::of(1..4_u8), 0..3_usize)
        .prop_map(|(id, email, city, badge, payload)| Person { id, email, city, badge, payload: vec![id; payload] });
    let step = prop_oneof![
        4 => person.clone().prop_map(Step::Put),
        1 => person.prop_map(Step::Insert),
        1 => (1..6_u8).prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn the_rule_agrees_with_the_model(steps in steps()) {
        let (mut bench, mut model) = (Bench::new(), Model::default());
        for (round, step) in (1..).zip(&steps) {
            let write = match step {
                Step::Put(person) => person.put(),
                Step::Insert(person) => person.insert(),
                Step::Remove(id) => Person::remove(*id),
            };
            prop_assert_eq!(bench.apply(&write).1, model.apply(step, round));
            prop_assert_eq!(bench.rows(), model.rows());
        }
    }
}

/// An engine that cannot read is the one thing that makes the rule err.
#[test]
fn a_failed_read_is_an_error_and_no_outcome() {
    #[derive(Debug)]
    struct Broken;
    impl Rows for Broken {
        fn get(&self, _: &[u8]) -> Result<Option<Bytes>, Error> {
            Err(crate::storage::StoreError::Failed("no disk".to_owned()).into())
        }
        fn scan<'a>(
            &'a self,
            _: std::ops::Bound<&[u8]>,
            _: std::ops::Bound<&[u8]>,
            _: bool,
        ) -> Result<crate::storage::Scan<'a>, Error> {
            Err(crate::storage::StoreError::Failed("no disk".to_owned()).into())
        }
    }
    let rule = Rule::new(&catalog());
    assert!(rule.apply(&Broken, &versions(), &Person::new(1, 1).put(), 1).is_err());
    assert!(rule.apply(&Broken, &versions(), &Person::remove(1), 1).is_err());
}
