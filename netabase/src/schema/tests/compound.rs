//! Indexes over several fields, and named ones: their bytes, their bounds, and what a query over them finds.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{difference, plan};
use crate::NetabaseSchema;
use crate::schema::{After, Catalog, IndexId, Key, Query, Record, leading, starts_with};
use crate::storage::StoreKind;
use crate::store::Store;

use std::ops::Bound::{Excluded, Included};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, NetabaseSchema)]
#[netabase(crate = "crate")]
#[allow(clippy::duplicated_attributes, reason = "a field in two indexes is no mistake")]
#[netabase(index(name = "by_city_balance", fields(city, balance)))]
#[netabase(index(name = "by_all", fields(nick, city, balance)))]
struct Account {
    #[netabase(key)]
    id: u8,
    city: String,
    balance: i64,
    #[netabase(unique(name = "by_nickname"))]
    nick: Option<String>,
}

fn account(id: u8, city: &str, balance: i64, nick: Option<&str>) -> Account {
    Account { id, city: city.to_owned(), balance, nick: nick.map(str::to_owned) }
}

#[test]
fn their_rows_have_the_fields_in_the_order_of_the_list() {
    let names: Vec<_> = Account::__GLUE.indexes.iter().map(|index| (index.name, index.unique)).collect();
    assert_eq!(names, [("nickname", true), ("all", false), ("city_balance", false)]);
    let value = account(7, "a", -1, None).__encode().expect("it encodes");
    let rows = (Account::__GLUE.rows)(&value).expect("it has rows");
    let balance = [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let city_balance = [&b"a\0\0"[..], &balance].concat();
    // Nobody without a nickname is in its own index; in one of several fields, nothing is a value.
    assert_eq!(rows.index_keys, [None, Some([&[0][..], &city_balance].concat()), Some(city_balance)]);
}

fn any_account() -> impl Strategy<Value = Account> {
    // Texts of which one begins another, with the byte that ends them.
    let text = "[a\\x00]{0,2}";
    (any::<u8>(), text, -2..3i64, proptest::option::of(text)).prop_map(|(id, city, balance, nick)| Account {
        id,
        city,
        balance,
        nick,
    })
}

proptest! {
    #[test]
    fn their_bytes_sort_as_the_tuples_do(a in any_account(), b in any_account()) {
        let tuple = |account: &Account| (account.nick.clone(), account.city.clone(), account.balance);
        let bytes = |account: &Account| account.__index_keys()[1].clone().expect("all are in it");
        prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), tuple(&a).cmp(&tuple(&b)));
        let key = AccountByAllKey::from(tuple(&a));
        prop_assert_eq!(key.to_bytes(), bytes(&a));
        prop_assert_eq!(key.cmp(&tuple(&b).into()), tuple(&a).cmp(&tuple(&b)));
    }

    /// Against the same question asked of all records one by one.
    #[test]
    fn queries_find_what_the_fields_say(accounts in vec(any_account(), 0..20), one in any_account(), two in any_account()) {
        let store = Store::<Account>::open("", StoreKind::Memory).expect("it opens");
        let mut nicks = BTreeSet::new();
        let mut all: Vec<Account> = Vec::new();
        for mut account in accounts {
            account.nick = account.nick.filter(|nick| nicks.insert(nick.clone()));
            all.retain(|other| other.id != account.id);
            // What it replaces may have held a nickname, which is then free, but is not given again.
            store.put_record(account.clone()).expect("it is stored");
            all.push(account);
        }
        let pair = |account: &Account| (account.city.clone(), account.balance);
        all.sort_by_key(|account| (pair(account), account.id));
        let (low, high) = (pair(&one).min(pair(&two)), pair(&one).max(pair(&two)));
        let expected = |matches: &dyn Fn(&Account) -> bool| -> Vec<Account> {
            all.iter().filter(|account| matches(account)).cloned().collect()
        };
        let cases = [
            (Account::by_city_balance(..), expected(&|_| true)),
            (Account::by_city_balance(low.clone()), expected(&|account| pair(account) == low)),
            (Account::by_city_balance(low.clone()..high.clone()), expected(&|a| (&low..&high).contains(&&pair(a)))),
            (Account::by_city_balance(low.clone()..=high.clone()), expected(&|a| (&low..=&high).contains(&&pair(a)))),
            (Account::by_city_balance(low.clone()..), expected(&|account| pair(account) >= low)),
            (Account::by_city_balance(..high.clone()), expected(&|account| pair(account) < high)),
            (Account::by_city_balance(leading(&low.0)), expected(&|account| account.city == low.0)),
            (Account::by_city_balance(leading((&low.0, low.1))), expected(&|account| pair(account) == low)),
        ];
        for (query, mut expected) in cases {
            prop_assert_eq!(&store.query(query.clone()).expect("a query"), &expected, "{:?}", query);
            prop_assert_eq!(store.count(query.clone()).expect("a query"), expected.len() as u64);
            let first = &expected[..expected.len().min(3)];
            prop_assert_eq!(&store.query(query.clone().limit(3)).expect("a query"), first);
            if let Some(last) = first.last() {
                let rest = store.query(query.clone().after_record(last)).expect("a query");
                prop_assert_eq!(&rest, &expected[first.len()..], "{:?} after {:?}", query, last);
            }
            expected.reverse();
            prop_assert_eq!(&store.query(query.clone().reverse()).expect("a query"), &expected, "{:?}", query);
            if let Some((first, rest)) = expected.split_first() {
                let found = store.query(query.clone().reverse().after_record(first)).expect("a query");
                prop_assert_eq!(&found, rest, "{:?} back from {:?}", query, first);
            }
        }
    }
}

#[test]
fn leading_fields_are_a_prefix_of_the_bytes() {
    let bounds = |query| {
        let plan = plan::<Account, Account>(&query);
        (plan.lower, plan.upper)
    };
    let paris = b"Paris\0\0".to_vec();
    assert_eq!(
        bounds(Account::by_city_balance(leading("Paris"))),
        (Included(paris), Excluded(b"Paris\0\x01".to_vec()))
    );
    let one = bounds(Account::by_city_balance(leading("Paris")));
    assert_eq!(bounds(Account::by_city_balance(leading(("Paris",)))), one, "one field, or a tuple of one");
    let text = |text: &str| text.to_owned().to_bytes();
    let nobody = bounds(Account::by_all(leading(None::<String>)));
    assert_eq!(nobody, (Included(vec![0]), Excluded(vec![1])));
    let two = [vec![1], text("x"), text("y")].concat();
    let mut above = two.clone();
    *above.last_mut().expect("it is not empty") = 1;
    assert_eq!(bounds(Account::by_all(leading((Some("x"), "y")))), (Included(two), Excluded(above)));
}

#[test]
fn records_without_a_value_come_first_and_are_all_there() {
    let store = Store::<Account>::open("", StoreKind::Memory).expect("it opens");
    let accounts = [account(1, "Rome", 1, Some("b")), account(2, "Rome", 1, None), account(3, "Paris", 9, Some("a"))];
    store.put_records(accounts).expect("they are stored");
    let ids = |query: Query<Account>| {
        store.query(query).expect("a query").iter().map(|account| account.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Account::by_all(..)), [2, 3, 1]);
    assert_eq!(ids(Account::by_all(leading(None::<String>))), [2]);
    assert_eq!(ids(Account::by_all((None::<String>, "Rome", 1))), [2]);
    assert_eq!(ids(Account::by_all((Some("a"), "", 0)..)), [3, 1]);
    assert_eq!(ids(Account::by_nickname(..)), [3, 1]);
    assert_eq!(ids(Account::by_nickname(starts_with("b"))), [1]);
    // A record that changes leaves no row behind.
    store.put_record(account(3, "Paris", -9, None)).expect("it is stored");
    assert_eq!(ids(Account::by_all(..)), [3, 2, 1]);
    assert_eq!(ids(Account::by_city_balance(leading("Paris"))), [3]);
    assert_eq!(ids(Account::by_city_balance(("Paris", 9))), [0; 0]);
    store.verify().expect("index rows and records agree");
}

#[test]
fn their_keys_are_values_like_others() {
    let key = AccountByCityBalanceKey::from(("Paris", -10));
    assert_eq!(key, AccountByCityBalanceKey { city: "Paris".to_owned(), balance: -10 });
    assert_eq!(key.to_string(), "Paris/-10");
    let query = plan::<Account, _>(&Account::by_city_balance(key.clone()));
    assert_eq!((query.index, query.lower), (Some(IndexId::named("city_balance")), Included(key.to_bytes())));
    let after = plan::<Account, _>(&Account::by_city_balance(..).after_record(&account(7, "Paris", -10, None))).after;
    assert_eq!(after, Some(After::Row { index_key: key.to_bytes(), key: vec![7] }));
}

/// One record, `Thing`, in several modules, each with other indexes over the same fields.
macro_rules! things {
    ($($module:ident { $(#[$attribute:meta])* } { $(#[$index:meta])? })*) => { $(
        mod $module {
            use crate::NetabaseSchema;
            use serde::{Deserialize, Serialize};
            #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
            #[netabase(crate = "crate")]
            $(#[$attribute])*
            pub(super) struct Thing {
                #[netabase(key)]
                id: u8,
                $(#[$index])?
                one: u16,
                two: u16,
            }
        }
    )* };
}

things! {
    base { #[netabase(index(name = "by_a", fields(one, two)), index(name = "by_b", fields(two, id)))] } {}
    moved { #[netabase(index(name = "by_b", fields(two, id)))] #[netabase(index(fields(one, two), name = "by_a"))] } {}
    turned { #[netabase(index(name = "by_a", fields(two, one)), index(name = "by_b", fields(two, id)))] } {}
    fewer { #[netabase(index(name = "by_a", fields(one, two)))] } {}
    plain {} { #[netabase(index)] }
    named_alike {} { #[netabase(index(name = "by_one"))] }
    named {} { #[netabase(index(name = "by_first"))] }
}

/// A peer that makes other rows under the same name would hold another state.
#[test]
fn which_fields_an_index_has_is_part_of_the_schema() {
    assert_eq!(difference::<base::Thing, moved::Thing>(), None, "the order of the lines says nothing");
    let (ours, theirs) = difference::<base::Thing, turned::Thing>().expect("their rows differ");
    let position = |shown: &str, field: &str| shown.find(field).expect("it is shown");
    assert!(position(&ours, "\"one\"") < position(&ours, "\"two\""), "{ours}");
    assert!(position(&theirs, "\"two\"") < position(&theirs, "\"one\""), "{theirs}");
    assert!(difference::<base::Thing, fewer::Thing>().is_some());
    assert_eq!(difference::<plain::Thing, named_alike::Thing>(), None);
    assert!(difference::<plain::Thing, named::Thing>().is_some());
}

/// These fingerprints are in directories: one that changes for the same types locks people out of their data.
#[test]
fn the_fingerprint_of_compound_indexes_stays_as_it_is() {
    let catalog = Catalog::of::<Account>().expect("it opens");
    assert_eq!(catalog.fingerprint().short(), "5be72a439a7a");
}
