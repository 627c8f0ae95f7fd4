//! Indexes that are not the same in all versions: what is unique, what is read back, what a transaction has learnt.

use super::*;
use crate::command::Transaction;
use crate::machine::{Refused, Rule, Trial};

/// Of rows that were there before, two may have one value: neither is converted as long as both do.
#[test]
fn an_index_that_becomes_unique_takes_each_value_once() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", version = 2, from = one::Account)]
    struct Account {
        #[netabase(key)]
        id: u64,
        #[netabase(unique)]
        city: String,
    }
    impl From<one::Account> for Account {
        fn from(one::Account { id, city, .. }: one::Account) -> Self {
            Account { id, city }
        }
    }
    let violation = Refusal::UniqueViolation { record: record(), index: crate::schema::IndexId::named("city") };

    let mut node = Node::new::<Account>();
    for id in [1, 2, 4] {
        node.put(&account(id, "a name")).expect("it is taken");
    }
    node.reads(1, 2);
    node.reads(2, 2);
    node.upgrade_all();
    let stored = node.machine.versions().get(record()).cloned().expect("it is written");
    assert_eq!(stored.stuck().map(|(rows, _)| rows), Some(2), "1 and 4 are of one city");
    assert_eq!(node.versions(), (1, 2));
    node.is_in_order::<Account>();
    for city in ["city 1", "city 2"] {
        assert_eq!(node.put(&Account { id: 4, city: city.into() }), Err(violation.clone()), "{city}");
    }
    node.put(&Account { id: 4, city: "elsewhere".into() }).expect("nobody else is there");
    node.upgrade().expect("it applies").expect("it is taken");
    assert_eq!(node.versions(), (2, 2));
    node.put(&Account { id: 1, city: "city 1".into() }).expect("it is its own");
    assert_eq!(node.put(&Account { id: 9, city: "city 1".into() }), Err(violation));
    node.is_in_order::<Account>();
}

/// What is stored in a version without indexes is not read where it is replaced, whichever later versions a program knows.
#[test]
fn a_later_version_with_an_index_changes_nothing_in_what_an_earlier_one_does() {
    use std::sync::atomic::{AtomicBool, Ordering};

    static STRICT: AtomicBool = AtomicBool::new(false);

    /// As a type whose `Deserialize` takes less than it took before.
    fn strict<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_taken = text != "old" || !STRICT.load(Ordering::Relaxed);
        if is_taken { Ok(text) } else { Err(serde::de::Error::custom("too old")) }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", name = "account")]
    struct Plain {
        #[netabase(key)]
        id: u64,
        #[serde(deserialize_with = "strict")]
        text: String,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", name = "account", version = 2, from = Plain)]
    struct Indexed {
        #[netabase(key)]
        id: u64,
        #[netabase(index)]
        text: String,
    }
    impl From<Plain> for Indexed {
        fn from(Plain { id, text }: Plain) -> Self {
            Indexed { id, text }
        }
    }

    let (mut old, mut new) = (Node::new::<Plain>(), Node::new::<Indexed>());
    for node in [&mut old, &mut new] {
        STRICT.store(false, Ordering::Relaxed);
        for id in [1, 2] {
            node.put(&Plain { id, text: "old".into() }).expect("it is taken");
        }
        STRICT.store(true, Ordering::Relaxed);
        node.put(&Plain { id: 1, text: "new".into() }).expect("what it replaces is not read");
        node.act(Write::Remove { record: record(), key: crate::Key::to_bytes(&2_u64).into() }).unwrap().unwrap();
    }
    assert_eq!(old.machine.sum(), new.machine.sum());
    assert_eq!(old.machine.state_hash().unwrap(), new.machine.state_hash().unwrap());
}

/// Whoever was told that a value is taken conflicts once it is not, also where a later version would write another value.
#[test]
fn what_a_transaction_was_refused_for_is_noted_in_the_version_that_is_written() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", name = "account")]
    struct Named {
        #[netabase(key)]
        id: u64,
        #[netabase(unique)]
        name: String,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", name = "account", version = 2, from = Named)]
    struct Folded {
        #[netabase(key)]
        id: u64,
        #[netabase(unique)]
        name: String,
    }
    impl From<Named> for Folded {
        fn from(Named { id, name }: Named) -> Self {
            Folded { id, name: name.to_uppercase() }
        }
    }
    let named = |id| Bytes::from(Named { id, name: "ada".into() }.__encode().unwrap());

    let mut node = Node::new::<Folded>();
    node.act(Write::Put { record: record(), value: named(1) }).unwrap().expect("it is taken");
    let catalog = Catalog::of::<Folded>().expect("a schema");
    let mut trial = Trial::new(node.machine.views().view());
    let write = Write::Put { record: record(), value: named(2) };
    let refused = trial.write(&Rule::new(&catalog), &catalog, &write).expect("it reads");
    assert!(
        matches!(refused, Err(Refused { refusal: Refusal::UniqueViolation { .. }, unswept: false })),
        "{refused:?}"
    );
    let reads = Transaction { reads: trial.into_notes(), ..Transaction::default() };
    node.act(Write::Remove { record: record(), key: crate::Key::to_bytes(&1_u64).into() }).unwrap().unwrap();
    assert_eq!(node.act(Action::Transact(Arc::new(reads))).unwrap(), Err(Refusal::Conflict));
}

/// A `From` that gives a record another key would put it in the place of another one.
#[test]
fn a_record_keeps_its_key_from_one_version_to_the_next() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", version = 2, from = one::Account)]
    struct Account {
        #[netabase(key)]
        id: u64,
    }
    impl From<one::Account> for Account {
        fn from(one::Account { id, .. }: one::Account) -> Self {
            Account { id: id + 1 }
        }
    }
    let mut node = Node::new::<Account>();
    for id in [1, 2] {
        node.put(&account(id, "a name")).expect("it is taken");
    }
    node.reads(1, 2);
    node.reads(2, 2);
    node.upgrade_all();
    let stored = node.machine.versions().get(record()).cloned().expect("it is written");
    assert_eq!(stored.stuck(), Some((2, "its `From` gives it another key")));
    let late = node.put(&account(7, "under way"));
    assert_eq!(late, Err(Refusal::undecodable(record(), "its `From` gives it another key".to_owned())));
    node.is_in_order::<Account>();
}

/// A call that came too early is no call that was done.
#[test]
fn a_named_call_goes_through_once_its_version_is_written() {
    let mut node = Node::new::<two::Account>();
    let value = Bytes::from(two::Account::from(account(1, "a name")).__encode().unwrap());
    let transaction = Transaction {
        request: Some(crate::command::RequestId([7; 16])),
        reads: Vec::new(),
        writes: vec![Write::Put { record: record(), value }],
    };
    let call = |node: &mut Node| node.act(Action::Transact(Arc::new(transaction.clone()))).expect("it applies");
    assert_eq!(call(&mut node), Err(Refusal::NotActive { record: record(), active: 1 }));
    node.reads(1, 2);
    node.reads(2, 2);
    node.upgrade_all();
    let done = call(&mut node).expect("it is written now");
    node.put(&two::Account { visits: 9, ..account(1, "a name").into() }).expect("it is taken");
    assert_eq!(call(&mut node), Ok(done), "and is done once");
    assert_eq!(node.found(two::Account::all()).unwrap()[0].visits, 9);
}
