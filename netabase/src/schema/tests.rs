//! The derive, seen from the byte-level side: glue, catalog, descriptor, plans. The user's side is in `ui-tests`.

mod compound;
mod own_key;

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::key::decode_all;
use super::{
    After, Catalog, Descriptor, IndexId, Key, Member, Plan, Query, Record, RecordId, Schema, codec, starts_with,
};
use crate::NetabaseSchema;
use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "crate")]
pub(crate) struct Account {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    email: Option<String>,
    #[netabase(index)]
    city: String,
    #[netabase(index)]
    balance: i64,
    notes: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "crate", name = "bookings")]
pub(crate) struct Entry {
    #[netabase(key)]
    account: String,
    #[netabase(key, index)]
    seq: i32,
    amount: i64,
}

#[derive(NetabaseSchema)]
#[netabase(crate = "crate")]
pub(crate) enum Bank {
    Account(Account),
    #[netabase(name = "entries")]
    Entry(Entry),
}

/// The same records the other way round.
#[derive(NetabaseSchema)]
#[netabase(crate = "crate")]
pub(crate) enum Reversed {
    #[netabase(name = "entries")]
    Entry(Entry),
    Account(Account),
}

fn account(id: u64, email: Option<&str>, city: &str, balance: i64) -> Account {
    Account { id, email: email.map(Into::into), city: city.to_owned(), balance, notes: BTreeMap::new() }
}

fn plan<S: Schema, R: Member<S>>(query: &Query<R>) -> Plan {
    query.plan::<S>()
}

fn text(text: &str) -> Vec<u8> {
    text.to_owned().to_bytes()
}

#[test]
fn a_stored_value_tells_its_rows() {
    let value = account(7, Some("a@x.org"), "Paris", -5).__encode().expect("it encodes");
    let rows = (Account::__GLUE.rows)(&value).expect("it has rows");
    assert_eq!(rows.key, 7u64.to_bytes());
    assert_eq!(rows.index_keys, [Some(text("a@x.org")), Some(text("Paris")), Some((-5i64).to_bytes())]);
    let names: Vec<_> = Account::__GLUE.indexes.iter().map(|index| (index.name, index.unique)).collect();
    assert_eq!(names, [("email", true), ("city", false), ("balance", false)]);
}

#[test]
fn nothing_is_not_in_an_index() {
    let value = account(7, None, "", 0).__encode().expect("it encodes");
    assert_eq!((Account::__GLUE.rows)(&value).expect("it has rows").index_keys[0], None);
}

#[test]
fn a_value_of_another_version_is_refused() {
    let mut value = account(7, None, "", 0).__encode().expect("it encodes");
    value[0] = 2;
    let reason = (Account::__GLUE.rows)(&value).expect_err("it is of another version");
    assert!(reason.contains("version 2"), "{reason}");
    assert!((Account::__GLUE.rows)(&[]).is_err());
}

#[test]
fn a_deserialize_that_panics_is_an_error() {
    #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    #[netabase(crate = "crate")]
    struct Trap {
        #[netabase(key)]
        id: u8,
        #[serde(deserialize_with = "panics")]
        value: u8,
    }
    fn panics<'de, D: serde::Deserializer<'de>>(_: D) -> Result<u8, D::Error> {
        panic!("by a bug of the user's")
    }
    let value = Trap { id: 1, value: 2 }.__encode().expect("it encodes");
    assert!((Trap::__GLUE.rows)(&value).is_err());
}

proptest! {
    #[test]
    fn rows_of_any_bytes_are_rows_or_an_error(input in vec(prop_oneof![0..4u8, 250..=255u8, any::<u8>()], 0..200)) {
        for first in [None, Some(1)] {
            let value: Vec<u8> = first.into_iter().chain(input.iter().copied()).collect();
            let _ = (Account::__GLUE.rows)(&value);
            let _ = (Entry::__GLUE.rows)(&value);
        }
    }

    #[test]
    fn generated_keys_sort_as_their_bytes(
        (a, b) in (("[a\\x00]{0,3}", -2..3i32), ("[a\\x00]{0,3}", -2..3i32)),
    ) {
        let (a, b): (EntryKey, EntryKey) = (a.into(), b.into());
        prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
        prop_assert_eq!(&decode_all::<EntryKey>(&a.to_bytes()).expect("its own bytes"), &a);
        prop_assert_eq!(a.cmp(&b), (&a.account, a.seq).cmp(&(&b.account, b.seq)));
    }
}

#[test]
fn keys_are_values_like_others() {
    let key = EntryKey::from(("libc6", -3));
    assert_eq!(key.to_string(), "libc6/-3");
    assert_eq!(format!("{key:?}"), r#"EntryKey { account: "libc6", seq: -3 }"#);
    assert_eq!(serde_json::to_string(&key).expect("it is plain"), r#"["libc6",-3]"#);
    assert_eq!(serde_json::from_str::<EntryKey>(r#"["libc6",-3]"#).expect("it is one"), key);
    assert!(serde_json::from_str::<EntryKey>(r#"["libc6"]"#).is_err());
    assert_eq!(codec::decode::<EntryKey>(&codec::encode(&key).expect("it encodes")).expect("it decodes"), key);
    let key = AccountKey(7);
    assert_eq!((key.to_string(), format!("{key:?}")), ("7".to_owned(), "AccountKey(7)".to_owned()));
    assert_eq!(serde_json::to_string(&key).expect("it is plain"), "7");
    let entry = AccountLogEntry::PutAccount(account(7, None, "", 0));
    assert_eq!(format!("{:?}", entry.clone()), "PutAccount(AccountKey(7), ..)");
    assert!(BankKey::Account(9.into()) < BankKey::Entry(("a", 1).into()));
    assert!(BankKey::Account(8.into()) < BankKey::Account(9.into()));
}

#[test]
fn queries_are_byte_bounds() {
    let included = |bytes: Vec<u8>| Bound::Included(bytes);
    let excluded = |bytes: Vec<u8>| Bound::Excluded(bytes);
    let all = plan::<Bank, _>(&Account::all());
    assert_eq!((all.lower, all.upper, all.index), (Bound::Unbounded, Bound::Unbounded, None));
    assert_eq!(all.record, RecordId::named("account"));

    let range = plan::<Bank, _>(&Account::range(10..20));
    assert_eq!((range.lower, range.upper), (included(10u64.to_bytes()), excluded(20u64.to_bytes())));

    let city = plan::<Bank, _>(&Account::by_city("Paris").limit(3).reverse());
    assert_eq!((city.lower, city.upper), (included(text("Paris")), included(text("Paris"))));
    assert_eq!((city.index, city.limit, city.reverse), (Some(IndexId::named("city")), Some(3), true));

    let prefix = plan::<Bank, _>(&Entry::prefix("a"));
    assert_eq!((prefix.lower, prefix.upper), (included(vec![b'a', 0, 0]), excluded(vec![b'a', 0, 1])));

    let start = plan::<Bank, _>(&Account::by_city(starts_with("Pa")));
    assert_eq!((start.lower, start.upper), (included(b"Pa".to_vec()), excluded(b"Pb".to_vec())));
    let start = plan::<Bank, _>(&Account::by_city(starts_with("")));
    assert_eq!((start.lower, start.upper), (included(vec![]), Bound::Unbounded));
}

#[test]
#[allow(clippy::reversed_empty_ranges, reason = "they are what is tested")]
fn an_inverted_range_is_empty() {
    for query in [Account::range(20..10), Account::range(20..=10), Account::range(20..=19)] {
        let plan = plan::<Bank, _>(&query);
        let (Bound::Included(lower), Bound::Excluded(upper)) = (plan.lower, plan.upper) else { panic!("{query:?}") };
        assert_eq!(lower, upper);
    }
}

#[test]
fn pages_go_on_behind_a_key_or_a_record() {
    let last = account(7, None, "Paris", 1);
    let key = 7u64.to_bytes();
    assert_eq!(plan::<Bank, _>(&Account::all().after(7)).after, Some(After::Key(key.clone())));
    assert_eq!(plan::<Bank, _>(&Account::all().after_record(&last)).after, Some(After::Key(key.clone())));
    let by_city = plan::<Bank, _>(&Account::by_city(..).after_record(&last));
    assert_eq!(by_city.after, Some(After::Row { index_key: text("Paris"), key }));
    // It has no e-mail address, so it is nowhere in that index.
    let nothing = plan::<Bank, _>(&Account::by_email(..).after_record(&last));
    assert_eq!((nothing.limit, nothing.after), (Some(0), None));
}

/// Found by fuzzing: it was an error, since the place was looked for all the same; and a limit given later brought it back.
#[test]
fn behind_a_record_that_is_not_in_the_index_is_nothing() {
    let store = crate::store::Store::<Bank>::open("", crate::StoreKind::Memory).expect("a store");
    store.put_record(account(1, Some("a@x.org"), "Paris", 1)).expect("it is stored");
    let last = account(7, None, "Paris", 1);
    for query in [
        Account::by_email(..).after_record(&last),
        Account::by_email(..).after_record(&last).limit(5),
        Account::by_email(..).limit(5).after_record(&last).reverse(),
    ] {
        assert_eq!(store.query(query.clone()).expect("it reads").len(), 0);
        assert_eq!(store.count(query.clone()).expect("it reads"), 0);
    }
    assert_eq!(store.count(Account::by_email(..)).expect("it reads"), 1);
}

#[test]
fn a_variant_may_store_its_record_under_another_name() {
    assert_eq!(plan::<Bank, _>(&Entry::all()).record, RecordId::named("entries"));
    assert_eq!(plan::<Entry, _>(&Entry::all()).record, RecordId::named("bookings"));
    let catalog = Catalog::of::<Bank>().expect("it opens");
    assert_eq!(catalog.record(RecordId::named("entries")).map(|glue| glue.name), Some("entries"));
    assert!(catalog.record(RecordId::named("bookings")).is_none());
}

#[test]
fn the_fingerprint_is_of_the_records_not_of_their_order() {
    let fingerprint = |catalog: Result<Catalog, Error>| catalog.expect("it opens").fingerprint();
    assert_eq!(fingerprint(Catalog::of::<Bank>()), fingerprint(Catalog::of::<Reversed>()));
    assert_ne!(fingerprint(Catalog::of::<Bank>()), fingerprint(Catalog::of::<Account>()));
}

/// These fingerprints are in directories: one that changes for the same types locks people out of their data.
#[test]
fn the_fingerprint_stays_as_it_is() {
    let catalog = Catalog::of::<Bank>().expect("it opens");
    assert_eq!(catalog.fingerprint().short(), "754461858337");
}

#[test]
fn the_descriptor_can_be_stored_and_says_all() {
    let descriptor = Catalog::of::<Bank>().expect("it opens").descriptor().clone();
    let bytes = codec::encode(&descriptor).expect("it encodes");
    assert_eq!(codec::decode::<Descriptor>(&bytes).expect("it decodes"), descriptor);
    let shown = format!("{descriptor:?}");
    for word in ["account", "entries", "balance", "notes", "email", "Map(Leaf(\"string\"), Seq(Leaf(\"u8\")))"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
}

/// One record, `Thing`, in several modules, each with a change.
macro_rules! things {
    ($($module:ident { $($item:item)* } { $($fields:tt)* })*) => { $(
        mod $module {
            use crate::NetabaseSchema;
            use serde::{Deserialize, Serialize};
            $($item)*
            #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
            #[netabase(crate = "crate")]
            pub(super) struct Thing { $($fields)* }
        }
    )* };
}

things! {
    base
        { #[derive(Clone, Serialize, Deserialize)] pub(super) struct Address { street: String, town: String } }
        { #[netabase(key)] id: u64, name: String, at: Vec<Address>, #[netabase(index)] age: u8 }
    same
        {
            /// Documented, under another name, with more derives and a `default`.
            #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
            pub(super) struct Place { street: String, #[serde(default)] town: String }
        }
        { /** With words. */ #[netabase(key)] pub(super) id: u64, pub name: String, at: Vec<Place>, #[netabase(index)] age: u8 }
    swapped
        { #[derive(Clone, Serialize, Deserialize)] pub(super) struct Address { street: String, town: String } }
        { #[netabase(key)] id: u64, at: Vec<Address>, name: String, #[netabase(index)] age: u8 }
    nested
        { #[derive(Clone, Serialize, Deserialize)] pub(super) struct Address { town: String, street: String } }
        { #[netabase(key)] id: u64, name: String, at: Vec<Address>, #[netabase(index)] age: u8 }
    other_key
        { #[derive(Clone, Serialize, Deserialize)] pub(super) struct Address { street: String, town: String } }
        { id: u64, #[netabase(key)] name: String, at: Vec<Address>, #[netabase(index)] age: u8 }
    other_index
        { #[derive(Clone, Serialize, Deserialize)] pub(super) struct Address { street: String, town: String } }
        { #[netabase(key)] id: u64, name: String, at: Vec<Address>, #[netabase(unique)] age: u8 }
    untraceable
        {
            #[derive(Clone, Serialize, Deserialize)]
            #[serde(untagged)]
            pub(super) enum Address { Street(String), Number(u8) }
        }
        { #[netabase(key)] id: u64, at: Vec<Address> }
}

fn difference<A: Schema, B: Schema>() -> Option<(String, String)> {
    let ours = Catalog::of::<A>().expect("it opens");
    let theirs = Catalog::of::<B>().expect("it opens");
    match ours.descriptor().check(theirs.descriptor()) {
        Ok(()) => {
            assert_eq!(ours.fingerprint(), theirs.fingerprint());
            None
        }
        Err(Error::SchemaMismatch { ours: our, theirs: their }) => {
            assert_ne!(ours.fingerprint(), theirs.fingerprint());
            assert_ne!(our, their);
            Some((our, their))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_changes_the_stored_bytes_is_a_mismatch() {
    assert_eq!(difference::<base::Thing, same::Thing>(), None);
    for found in [
        difference::<base::Thing, swapped::Thing>(),
        difference::<base::Thing, nested::Thing>(),
        difference::<base::Thing, other_key::Thing>(),
    ] {
        let (ours, theirs) = found.expect("they differ");
        assert!(
            ours.starts_with("`thing` version 1 (") && theirs.starts_with("`thing` version 1 ("),
            "{ours} {theirs}"
        );
    }
    let (ours, theirs) = difference::<base::Thing, other_index::Thing>().expect("they differ");
    assert!(theirs.contains("unique `age`") && !ours.contains("unique"), "{ours} {theirs}");
    // Nothing in common, so nothing to differ in.
    let (ours, theirs) = (Catalog::of::<Account>(), Catalog::of::<base::Thing>());
    assert!(ours.expect("it opens").descriptor().check(theirs.expect("it opens").descriptor()).is_ok());
}

#[test]
fn a_type_that_cannot_be_read_back_is_refused_when_the_schema_is_opened() {
    let Err(Error::Codec { record, reason }) = Catalog::of::<untraceable::Thing>() else { panic!("it opened") };
    assert_eq!(record, "thing");
    assert!(reason.starts_with("in `Thing`") && reason.contains("untagged"), "{reason}");
}
