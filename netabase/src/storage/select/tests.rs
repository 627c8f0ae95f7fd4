//! Plans over nine people: ranges, places to go on from, both directions, and damaged rows.

use std::sync::Arc;

use super::*;
use crate::schema::{IndexGlue, KeyForm, RecordRows};
use crate::storage::{MemoryEngine, Store, WriteSet};

/// A person's value is its version, and its key twice.
static GLUE: RecordGlue = RecordGlue {
    name: "person",
    version: 1,
    indexes: &[IndexGlue { name: "by_city", unique: false, form: || KeyForm::Bytes }],
    rows: |value| match value {
        [_, person, ..] => Ok(RecordRows { key: vec![*person], index_keys: vec![Some(city_of(*person))] }),
        _ => Err("too short".to_owned()),
    },
    convert: |_| Err("there is one version".to_owned()),
    describe: || Err("not asked for".to_owned()),
    before: None,
    eventual: false,
};

const PERSON: RecordId = RecordId(1);

/// People 1 to 9 in three cities, of which one's name begins another's; with rows of neighbouring ids.
fn people() -> Store {
    let mut store = Store::open(Arc::new(MemoryEngine::default())).expect("it opens");
    for round in 1..=9_u8 {
        let mut rows = WriteSet::default();
        for record in [RecordId(0), PERSON, RecordId(2)] {
            let city = city_of(round);
            rows.put(layout::record_key(record, &[round]), layout::record_value(u64::from(round), &[1, round, round]));
            rows.put(layout::index_key(record, by_city(), &city, &[round]), layout::index_value(&city));
        }
        let mut draft = store.draft();
        draft.write(rows);
        draft.install(u64::from(round)).expect("memory reads");
        if round == 5 {
            let flush = store.begin_flush().expect("there are rows");
            drop(store.end_flush(flush.run([]).expect("a flush")).expect("it is out"));
        }
    }
    store
}

/// Prefix-free, as encoded strings are: terminated.
fn city_of(person: u8) -> Vec<u8> {
    [&b"Paris\0"[..], b"Par\0", b"Rome\0"][usize::from(person % 3)].to_vec()
}

fn by_city() -> IndexId {
    IndexId::named("by_city")
}

fn plan(index: Option<IndexId>) -> Plan {
    let (lower, upper) = (Bound::Unbounded, Bound::Unbounded);
    Plan { record: PERSON, index, lower, upper, limit: None, reverse: false, after: None }
}

fn selected(store: &Store, plan: &Plan) -> Vec<u8> {
    let view = store.view();
    let rows: Vec<Row> = view.select(plan, &GLUE).expect("a plan").collect::<Result<_, _>>().expect("rows");
    for row in &rows {
        let person = row.key[0];
        assert_eq!((row.round, &row.value[..]), (u64::from(person), &[1, person, person][..]));
        assert_eq!(row.index_key.as_deref(), plan.index.map(|_| city_of(person)).as_deref());
    }
    assert_eq!(view.count(plan, &GLUE).expect("a plan"), rows.len() as u64);
    rows.iter().map(|row| row.key[0]).collect()
}

#[test]
fn plans_over_keys() {
    let store = people();
    let all = plan(None);
    assert_eq!(selected(&store, &all), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(selected(&store, &Plan { reverse: true, limit: Some(2), ..all.clone() }), [9, 8]);
    assert_eq!(selected(&store, &Plan { limit: Some(0), ..all.clone() }), [0; 0]);
    let middle = Plan { lower: Bound::Excluded(vec![3]), upper: Bound::Included(vec![6]), ..all };
    assert_eq!(selected(&store, &middle), [4, 5, 6]);
    let after = |key: u8, reverse| Plan { after: Some(After::Key(vec![key])), reverse, ..middle.clone() };
    assert_eq!(selected(&store, &after(4, false)), [5, 6]);
    assert_eq!(selected(&store, &after(4, true)), [0; 0]);
    assert_eq!(selected(&store, &after(6, true)), [5, 4]);
    // A place outside the range takes nothing away, or everything.
    assert_eq!(selected(&store, &after(1, false)), [4, 5, 6]);
    assert_eq!(selected(&store, &after(9, true)), [6, 5, 4]);
    assert_eq!(selected(&store, &after(9, false)), [0; 0]);
}

#[test]
fn plans_over_an_index() {
    let store = people();
    let all = plan(Some(by_city()));
    // "Par\0" < "Paris\0" < "Rome\0".
    assert_eq!(selected(&store, &all), [1, 4, 7, 3, 6, 9, 2, 5, 8]);
    assert_eq!(selected(&store, &Plan { reverse: true, ..all.clone() }), [8, 5, 2, 9, 6, 3, 7, 4, 1]);
    let paris = Bound::Included(b"Paris\0".to_vec());
    let in_paris = Plan { lower: paris.clone(), upper: paris, ..all.clone() };
    assert_eq!(selected(&store, &in_paris), [3, 6, 9]);
    assert_eq!(selected(&store, &Plan { limit: Some(2), reverse: true, ..in_paris.clone() }), [9, 6]);
    let beyond = |city: &[u8]| Plan { lower: Bound::Excluded(city.to_vec()), ..all.clone() };
    assert_eq!(selected(&store, &beyond(b"Par\0")), [3, 6, 9, 2, 5, 8]);
    let before = |city: &[u8]| Plan { upper: Bound::Excluded(city.to_vec()), ..all.clone() };
    assert_eq!(selected(&store, &before(b"Paris\0")), [1, 4, 7]);
    // A leading part of the index key is a range of bytes.
    let starts =
        Plan { lower: Bound::Included(b"Par".to_vec()), upper: Bound::Excluded(b"Pas".to_vec()), ..all.clone() };
    assert_eq!(selected(&store, &starts), [1, 4, 7, 3, 6, 9]);
    let after = After::Row { index_key: b"Paris\0".to_vec(), key: vec![6] };
    assert_eq!(selected(&store, &Plan { after: Some(after.clone()), ..all.clone() }), [9, 2, 5, 8]);
    assert_eq!(selected(&store, &Plan { after: Some(after.clone()), reverse: true, ..all.clone() }), [3, 7, 4, 1]);
    assert_eq!(selected(&store, &Plan { after: Some(after), ..in_paris }), [9]);
    // A key alone is the place of the record that has it now.
    let after_key = |key: u8| Plan { after: Some(After::Key(vec![key])), ..all.clone() };
    assert_eq!(selected(&store, &after_key(6)), [9, 2, 5, 8]);
    let nobody = store.view().select(&after_key(10), &GLUE).map(drop);
    assert!(matches!(nobody, Err(Error::Configuration { option: "after", .. })));
}

#[test]
fn damaged_rows_are_errors_and_end_the_query() {
    let mut store = people();
    let mut rows = WriteSet::default();
    rows.put(layout::record_key(PERSON, &[4]), Bytes::from_static(b"short"));
    rows.remove(layout::record_key(PERSON, &[6]));
    rows.put(layout::index_key(PERSON, by_city(), b"", &[0]), Bytes::from_static(&[0xff; 4]));
    let mut draft = store.draft();
    draft.write(rows);
    draft.install(10).expect("memory reads");
    let view = store.view();
    let mut by_key = view.select(&plan(None), &GLUE).expect("a plan").skip(3);
    assert!(matches!(by_key.next(), Some(Err(Error::DataDirectory { .. }))));
    assert!(by_key.next().is_none());
    let city = Bound::Included(b"Paris\0".to_vec());
    let in_paris = Plan { lower: city.clone(), upper: city, ..plan(Some(by_city())) };
    let mut in_paris = view.select(&in_paris, &GLUE).expect("a plan").skip(1);
    assert!(matches!(in_paris.next(), Some(Err(Error::DataDirectory { .. }))));
    assert!(matches!(view.select(&plan(Some(by_city())), &GLUE).expect("a plan").next(), Some(Err(_))));
    assert!(matches!(view.stored(PERSON, &[4]), Err(Error::DataDirectory { .. })));
}

#[test]
fn an_error_ends_the_pages_behind_the_rows_before_it() {
    let mut store = people();
    let mut rows = WriteSet::default();
    rows.put(layout::record_key(PERSON, &[4]), Bytes::from_static(b"short"));
    let mut draft = store.draft();
    draft.write(rows);
    draft.install(10).expect("memory reads");
    let mut pages = Pages::of(plan(None));
    let page = pages.read(&store.view(), &GLUE);
    let keys: Vec<Option<u8>> = page.iter().map(|row| row.as_ref().ok().map(|row| row.key[0])).collect();
    assert_eq!(keys, [Some(1), Some(2), Some(3), None]);
    assert!(pages.have_ended());
}

/// So many people in one city, each with a value of so many bytes.
fn crowd(people: u16, value_bytes: usize) -> Store {
    let mut store = Store::open(Arc::new(MemoryEngine::default())).expect("it opens");
    let mut rows = WriteSet::default();
    for key in (0..people).map(u16::to_be_bytes) {
        rows.put(layout::record_key(PERSON, &key), layout::record_value(1, &vec![7; value_bytes]));
        rows.put(layout::index_key(PERSON, by_city(), b"Rome\0", &key), layout::index_value(b"Rome\0"));
    }
    let mut draft = store.draft();
    draft.write(rows);
    draft.install(1).expect("memory reads");
    store
}

/// How many rows the pages of a plan have; each row comes in its place.
fn page_sizes(store: &Store, plan: &Plan, people: u16) -> Vec<usize> {
    let (mut pages, mut sizes, mut next) = (Pages::of(plan.clone()), Vec::new(), 0_u16);
    while !pages.have_ended() {
        let page = pages.read(&store.view(), &GLUE);
        sizes.push(page.len());
        for row in page {
            let place = if plan.reverse { people - 1 - next } else { next };
            assert_eq!(row.expect("a row").key[..], place.to_be_bytes());
            next += 1;
        }
    }
    sizes
}

#[test]
fn pages_are_bounded_in_rows_and_bytes() {
    let many = crowd(600, 1);
    let large = crowd(7, 400 << 10);
    for index in [None, Some(by_city())] {
        for reverse in [false, true] {
            let all = Plan { reverse, ..plan(index) };
            assert_eq!(page_sizes(&many, &all, 600), [256, 256, 88]);
            for (limit, sizes) in [(0, &[][..]), (256, &[256]), (300, &[256, 44]), (601, &[256, 256, 88])] {
                assert_eq!(page_sizes(&many, &Plan { limit: Some(limit), ..all.clone() }, 600), sizes);
            }
            assert_eq!(page_sizes(&large, &all, 7), [3, 3, 1]);
        }
    }
}

#[test]
fn a_page_goes_on_behind_a_row_that_is_gone() {
    let mut store = crowd(600, 1);
    let mut pages = Pages::of(plan(Some(by_city())));
    assert_eq!(pages.read(&store.view(), &GLUE).len(), 256);
    let last = 255_u16.to_be_bytes();
    let mut rows = WriteSet::default();
    rows.remove(layout::record_key(PERSON, &last));
    rows.remove(layout::index_key(PERSON, by_city(), b"Rome\0", &last));
    let mut draft = store.draft();
    draft.write(rows);
    draft.install(2).expect("memory reads");
    let page = pages.read(&store.view(), &GLUE);
    assert_eq!(page[0].as_ref().expect("a row").key[..], 256_u16.to_be_bytes());
}
