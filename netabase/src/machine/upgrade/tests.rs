//! One record type in three versions: what is written when, what becomes of rows, and who can go along.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::command::{Action, Command, Life, MemberId, Outcome, Reform, Refusal, SessionId, Write};
use crate::machine::fixture::entry;
use crate::machine::{Answer, DueUpgrade, Machine, Reply, Roster, verify};
use crate::schema::{Catalog, Query, Record, RecordId, Schema};
use crate::storage::{Engine, MemoryEngine, Selecting, Store};

mod one {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate")]
    pub(super) struct Account {
        #[netabase(key)]
        pub(super) id: u64,
        #[netabase(index)]
        pub(super) city: String,
        #[netabase(index)]
        pub(super) street: String,
        pub(super) name: String,
    }
}

mod two {
    use super::*;

    /// `street` is no index any more, and the name is one, which is unique.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", version = 2, from = one::Account, into = one::Account)]
    pub(super) struct Account {
        #[netabase(key)]
        pub(super) id: u64,
        #[netabase(index)]
        pub(super) city: String,
        pub(super) street: String,
        #[netabase(unique)]
        pub(super) name: String,
        pub(super) visits: u32,
    }

    impl From<one::Account> for Account {
        fn from(one::Account { id, city, street, name }: one::Account) -> Self {
            assert_ne!(name, "cursed", "a `From` that panics");
            Account { id, city, street, name, visits: 0 }
        }
    }

    impl From<Account> for one::Account {
        fn from(Account { id, city, street, name, .. }: Account) -> Self {
            one::Account { id, city, street, name }
        }
    }
}

mod three {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", version = 3, from = two::Account)]
    pub(super) struct Account {
        #[netabase(key)]
        pub(super) id: u64,
        pub(super) visits: u64,
    }

    impl From<two::Account> for Account {
        fn from(two::Account { id, visits, .. }: two::Account) -> Self {
            Account { id, visits: visits.into() }
        }
    }
}

const SESSION: SessionId = SessionId { round: 1, position: 0 };

fn record() -> RecordId {
    RecordId::named("account")
}

fn account(id: u64, name: &str) -> one::Account {
    one::Account { id, city: format!("city {}", id % 3), street: format!("street {}", id % 5), name: name.to_owned() }
}

fn member(id: u8) -> MemberId {
    MemberId::new(vec![id])
}

/// A node of two founders, who began with version 1, with what it has been told so far.
struct Node {
    engine: Arc<dyn Engine>,
    machine: Machine,
    number: u64,
}

impl Node {
    fn new<S: Schema>() -> Node {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let machine = open::<S>(&engine).expect("a new store");
        let mut node = Node { engine, machine, number: 0 };
        node.apply(Command::Open { nonce: [0; 16] }).expect("it applies");
        node
    }

    fn apply(&mut self, command: Command) -> Result<Option<Outcome>, Error> {
        let answers = self.machine.apply(self.machine.applied() + 1, &entry(&[command]))?;
        Ok(match answers.into_iter().next() {
            Some(Answer::Write { reply: Reply::Done(outcome), .. }) => Some(outcome),
            _ => None,
        })
    }

    fn act(&mut self, action: impl Into<Action>) -> Result<Outcome, Error> {
        self.number += 1;
        let (number, action) = (self.number, action.into());
        let outcome = self.apply(Command::Execute { session: SESSION, number, floor: number, action })?;
        Ok(outcome.expect("an action has an outcome"))
    }

    fn put(&mut self, record: &impl Record) -> Outcome {
        let value = Bytes::from(record.__encode().expect("it encodes"));
        self.act(Write::Put { record: self::record(), value }).expect("it applies")
    }

    /// A member says that it reads up to this version.
    fn reads(&mut self, member: u8, version: u8) {
        let life = Life { incarnation: [member; 16], lapses: 0 };
        let reads = [(record(), version)].into();
        let present = Reform::Present { member: self::member(member), life, addresses: Vec::new(), reads };
        self.act(present).expect("it applies").expect("it is a member");
    }

    fn upgrade(&mut self) -> Result<Outcome, Error> {
        self.act(Action::Upgrade(record()))
    }

    /// Until there is nothing to do any more.
    fn upgrade_all(&mut self) {
        while let Some((record, _)) = self.machine.due_upgrade(|_, due| due != DueUpgrade::Stuck) {
            self.act(Action::Upgrade(record)).expect("it applies").expect("it is taken");
        }
    }

    fn versions(&self) -> (u8, u8) {
        let stored = self.machine.versions().stored();
        let (floor, active) = stored[&record()];
        (floor, active)
    }

    fn found<S: Schema + crate::schema::Member<S>>(&self, query: Query<S>) -> Result<Vec<S>, Error> {
        let view = self.machine.views().view();
        view.select(&query.plan::<S>(), &S::__GLUE)?.map(|row| S::__decode(&row?.value)).collect()
    }

    /// Everything is written and closed, and opened again.
    fn reopened<S: Schema>(mut self) -> Result<Node, Error> {
        if let Some(flush) = self.machine.begin_flush() {
            drop(self.machine.end_flush(flush.run()?)?);
        }
        let Node { engine, machine, number } = self;
        drop(machine);
        let machine = open::<S>(&engine)?;
        Ok(Node { engine, machine, number })
    }

    fn is_in_order<S: Schema>(&self) {
        let catalog = Catalog::of::<S>().expect("a schema");
        verify(&self.machine.views().view(), &catalog).expect("records and indexes say the same");
    }
}

fn open<S: Schema>(engine: &Arc<dyn Engine>) -> Result<Machine, Error> {
    let founders = Roster::founded([member(1), member(2)], [(record(), 1)].into());
    Machine::open(Store::open(Arc::clone(engine))?, Catalog::of::<S>()?, founders)
}

#[test]
fn until_every_member_reads_a_version_programs_of_both_hold_the_same() {
    let mut old = Node::new::<one::Account>();
    let mut new = Node::new::<two::Account>();
    for node in [&mut old, &mut new] {
        for id in 0..20 {
            node.put(&account(id, "the same")).expect("it is taken");
        }
        node.put(&account(3, "another")).expect("it is taken");
        node.act(Write::Remove { record: record(), key: crate::Key::to_bytes(&4_u64).into() }).unwrap().unwrap();
        let early = two::Account::from(account(5, "early"));
        assert_eq!(node.put(&early), Err(Refusal::NotActive { record: record(), active: 1 }));
        node.reads(1, 2);
        node.upgrade().expect("it applies").expect("it is taken");
        assert_eq!(node.versions(), (1, 1), "the other member does not read it");
    }
    assert_eq!(old.machine.state_hash().unwrap(), new.machine.state_hash().unwrap());
    assert_eq!(old.machine.sum(), new.machine.sum());
    assert_eq!(new.found(two::Account::by_city("city 1")).unwrap().len(), 6, "an index that both have");
    let missing = new.found(two::Account::by_name("another")).expect_err("there is no such index yet");
    assert!(matches!(&missing, Error::IndexNotReady { index, .. } if index == "name"), "{missing}");
    old.is_in_order::<one::Account>();
    new.is_in_order::<two::Account>();
    // Going back is possible.
    let back = new.reopened::<one::Account>().expect("nothing was written that it does not know");
    assert_eq!(back.found(one::Account::by_street("street 0")).unwrap().len(), 4);
}

#[test]
fn rows_follow_some_at_a_time_and_what_is_read_is_always_whole() {
    let mut node = Node::new::<two::Account>();
    for id in 0..600 {
        node.put(&account(id, &format!("name {id}"))).expect("it is taken");
    }
    node.reads(1, 2);
    node.reads(2, 2);
    let rounds = |node: &Node| -> Vec<u64> {
        let view = node.machine.views().view();
        let plan = two::Account::all().plan::<two::Account>();
        view.select(&plan, &two::Account::__GLUE).unwrap().map(|row| row.unwrap().round).collect()
    };
    let written = rounds(&node);
    node.upgrade().expect("it applies").expect("it is taken");
    assert_eq!(node.versions(), (1, 2));
    let mut steps = 0;
    while node.versions().0 == 1 {
        assert_eq!(node.found(two::Account::all()).unwrap().len(), 600);
        assert_eq!(node.found(two::Account::by_city("city 2")).unwrap().len(), 200);
        assert!(matches!(node.found(two::Account::by_name("name 7")), Err(Error::IndexNotReady { .. })));
        node.is_in_order::<two::Account>();
        // An old command that was under way, and a new one, on rows that are and are not converted.
        let late = account(10 + steps, &format!("name {}", 10 + steps));
        node.put(&late).expect("what was under way is taken as the version that is written now");
        node.put(&two::Account { visits: 7, ..late.into() }).expect("it is taken");
        node.upgrade().expect("it applies").expect("it is taken");
        steps += 1;
    }
    assert_eq!(steps, 3, "256 rows a step");
    node.is_in_order::<two::Account>();
    assert_eq!(node.found(two::Account::by_name("name 7")).unwrap()[0].visits, 0);
    assert_eq!(node.found(two::Account::by_name("name 11")).unwrap()[0].visits, 7);
    assert_eq!(rounds(&node)[20..], written[20..], "nothing was written");
    let duplicate = two::Account { id: 1_000, ..account(7, "name 7").into() };
    assert!(matches!(node.put(&duplicate), Err(Refusal::UniqueViolation { .. })));
    let outdated = Refusal::Outdated { record: record(), version: 1, active: 2 };
    assert_eq!(node.put(&account(2_000, "too late")), Err(outdated), "a program need not know version 1 any more");
    let again = node.reopened::<two::Account>().expect("it opens");
    assert_eq!((again.versions(), again.found(two::Account::all()).unwrap().len()), ((2, 2), 600));
    let gone = again.reopened::<one::Account>().err().expect("it is too old");
    assert!(matches!(&gone, Error::SchemaMismatch { .. }), "{gone}");
}

#[test]
fn a_program_that_is_too_old_stops_where_the_version_rises() {
    let mut old = Node::new::<one::Account>();
    old.reads(1, 2);
    old.reads(2, 2);
    let Err(Error::SchemaMismatch { ours, theirs }) = old.upgrade() else { panic!("it went on") };
    assert_eq!((ours.as_str(), theirs.as_str()), ("`account` version 1", "`account` version 2, which is in use"));
    assert!(old.upgrade().is_err(), "and takes nothing more");
}

#[test]
fn what_cannot_be_converted_stays_and_is_counted() {
    let mut node = Node::new::<two::Account>();
    for (id, name) in [(1, "twin"), (2, "twin"), (3, "cursed"), (4, "fine")] {
        node.put(&account(id, name)).expect("it is taken");
    }
    node.reads(1, 2);
    node.reads(2, 2);
    node.upgrade_all();
    let stuck = |node: &Node| {
        let stored = node.machine.versions().get(record()).cloned().expect("it is written");
        stored.stuck().map(|(rows, reason)| (rows, reason.to_owned()))
    };
    let (rows, reason) = stuck(&node).expect("some are stuck");
    assert_eq!((rows, node.versions()), (2, (1, 2)));
    assert!(reason.contains("another record has its value of the unique index `name`"), "{reason}");
    assert!(matches!(node.found(two::Account::by_name("fine")), Err(Error::IndexNotReady { .. })));
    node.is_in_order::<two::Account>();
    assert_eq!(node.machine.due_upgrade(|_, due| due != DueUpgrade::Stuck), None, "not before it pauses");
    // Mended by a write and a removal, it goes through.
    node.put(&two::Account { id: 2, city: "x".into(), street: "y".into(), name: "other".into(), visits: 1 }).unwrap();
    node.act(Write::Remove { record: record(), key: crate::Key::to_bytes(&3_u64).into() }).unwrap().unwrap();
    assert_eq!(node.machine.due_upgrade(|_, _| true), Some((record(), DueUpgrade::Stuck)));
    node.upgrade().expect("it applies").expect("it is taken");
    assert_eq!((stuck(&node), node.versions()), (None, (2, 2)));
    assert_eq!(node.found(two::Account::by_name("twin")).unwrap()[0].id, 1);
    node.is_in_order::<two::Account>();
}

#[test]
fn a_chain_of_versions_is_read_and_converted() {
    let mut node = Node::new::<three::Account>();
    node.put(&account(1, "a")).expect("it is taken");
    assert_eq!(node.found(three::Account::all()).unwrap(), [three::Account { id: 1, visits: 0 }]);
    node.reads(1, 2);
    node.reads(2, 2);
    node.upgrade().unwrap().unwrap();
    node.put(&two::Account::from(account(2, "b"))).expect("it is taken");
    node.reads(1, 3);
    node.reads(2, 3);
    node.upgrade_all();
    assert_eq!(node.versions(), (3, 3));
    let ids: Vec<_> = node.found(three::Account::all()).unwrap().into_iter().map(|account| account.id).collect();
    assert_eq!(ids, [1, 2]);
    node.is_in_order::<three::Account>();
    // A version that was never stored may still change.
    assert!(two::Account::from(account(1, "x")).__encode_as(1).unwrap().is_some());
    assert!(three::Account { id: 1, visits: 0 }.__encode_as(2).unwrap().is_none(), "it says of no way back");
}

#[test]
fn a_record_type_that_not_every_member_has_is_not_written() {
    let other = RecordId::named("visit");

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate")]
    struct Visit {
        #[netabase(key)]
        id: u64,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate")]
    enum Both {
        Account(one::Account),
        Visit(Visit),
    }

    let mut node = Node::new::<Both>();
    let visit = Write::Put { record: other, value: Visit { id: 1 }.__encode().unwrap().into() };
    assert_eq!(node.act(visit.clone()).unwrap(), Err(Refusal::UnknownRecord { record: other }));
    for (member, expected) in [(1, false), (2, true)] {
        let life = Life { incarnation: [member; 16], lapses: 0 };
        let reads = [(record(), 1), (other, 1)].into();
        let present = Reform::Present { member: self::member(member), life, addresses: Vec::new(), reads };
        node.act(present).unwrap().unwrap();
        node.upgrade_all();
        assert_eq!(node.act(visit.clone()).unwrap().is_ok(), expected, "after member {member}");
    }
    let without = node.reopened::<one::Account>().err().expect("it writes a record type that is gone");
    assert!(matches!(without, Error::SchemaMismatch { .. }), "{without}");
}

/// A schema of two record types, whose rows cannot all be converted.
mod pair {
    use super::*;

    macro_rules! versions {
        ($one:ident, $two:ident, $name:tt) => {
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
            #[netabase(crate = "crate", name = $name)]
            pub(super) struct $one {
                #[netabase(key)]
                pub(super) id: u64,
            }
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
            #[netabase(crate = "crate", name = $name, version = 2, from = $one)]
            pub(super) struct $two {
                #[netabase(key)]
                pub(super) id: u64,
                pub(super) more: u64,
            }
            impl From<$one> for $two {
                fn from(one: $one) -> Self {
                    assert_ne!(one.id, 13, "an unlucky one");
                    $two { id: one.id, more: 0 }
                }
            }
        };
    }
    versions!(LeftOne, LeftTwo, "account");
    versions!(RightOne, RightTwo, "right");

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate")]
    pub(super) enum Both {
        Left(LeftTwo),
        Right(RightTwo),
    }
}

#[test]
fn no_record_type_waits_for_the_rows_of_another() {
    let ids = ["account", "right"].map(RecordId::named);
    let mut node = Node::new::<pair::Both>();
    let present = |node: &mut Node, version: u8| {
        for member in [1, 2] {
            let life = Life { incarnation: [member; 16], lapses: 0 };
            let reads = ids.map(|record| (record, version)).into();
            let present = Reform::Present { member: self::member(member), life, addresses: Vec::new(), reads };
            node.act(present).unwrap().unwrap();
        }
    };
    present(&mut node, 1);
    node.upgrade_all();
    for id in 13..400 {
        let (left, right) = (pair::LeftOne { id }.__encode().unwrap(), pair::RightOne { id }.__encode().unwrap());
        for (record, value) in ids.into_iter().zip([left, right]) {
            node.act(Write::Put { record, value: value.into() }).unwrap().expect("it is taken");
        }
    }
    present(&mut node, 2);
    let mut due = Vec::new();
    for _ in 0..2 {
        let (record, what) = node.machine.due_upgrade(|_, _| true).expect("both rise");
        assert_eq!(what, DueUpgrade::Rise);
        node.act(Action::Upgrade(record)).unwrap().unwrap();
        due.push(record);
    }
    due.sort_unstable();
    let mut both = ids;
    both.sort_unstable();
    assert_eq!(due, both, "the versions rise before any rows are converted");
    node.upgrade_all();
    for record in ids {
        assert_eq!(
            node.machine.versions().get(record).and_then(|stored| stored.stuck()).map(|(rows, _)| rows),
            Some(1)
        );
        // Whichever of them is stuck for good, the other one is looked at again.
        assert_eq!(node.machine.due_upgrade(|of, _| of == record), Some((record, DueUpgrade::Stuck)));
    }
    let mut asked = Vec::new();
    let due = node.machine.due_upgrade(|record, _| {
        asked.push(record);
        false
    });
    assert_eq!((due, asked), (None, both.to_vec()));
}

mod indexes;
