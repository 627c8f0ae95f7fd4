//! What expires when, by the clock that the log moves; and what readers see before.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Rule;
use crate::Error;
use crate::clock::{now_ms, skew_clock_here};
use crate::command::{Action, Command, Life, MemberId, Outcome, Reform, Refusal, SessionId, Transaction, Write};
use crate::machine::fixture::entry;
use crate::machine::{Answer, Keeper, Machine, Refused, Reply, Roster, Trial, adopt, verify};
use crate::schema::{After, Catalog, Member, Query, Record, RecordId, Schema};
use crate::storage::{
    Changes, Engine, MemoryEngine, PAGE_HIDDEN, Pages, Place, Rows as _, Selecting, Store, WriteSet, layout,
};

/// A login, which expires at `until`; `None`: never.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
#[netabase(crate = "crate", name = "login", ttl = "until")]
struct Login {
    #[netabase(key)]
    id: u64,
    #[netabase(unique)]
    token: String,
    #[netabase(index)]
    user: u32,
    until: Option<u64>,
}

/// What a login was before any of them expired, and what it is when none does again.
mod lasting {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", name = "login")]
    pub(super) struct First {
        #[netabase(key)]
        pub(super) id: u64,
        pub(super) until: u64,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", name = "login", version = 2, from = First, ttl = "until")]
    pub(super) struct Second {
        #[netabase(key)]
        pub(super) id: u64,
        pub(super) until: u64,
    }

    impl From<First> for Second {
        fn from(First { id, until }: First) -> Self {
            Second { id, until }
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, crate::NetabaseSchema)]
    #[netabase(crate = "crate", name = "login", version = 3, from = Second)]
    pub(super) struct Third {
        #[netabase(key)]
        pub(super) id: u64,
    }

    impl From<Second> for Third {
        fn from(Second { id, .. }: Second) -> Self {
            Third { id }
        }
    }
}

const SESSION: SessionId = SessionId { round: 1, position: 0 };
const HOUR_MS: u64 = 3_600_000;
const HOUR_S: i64 = 3_600;

fn record() -> RecordId {
    RecordId::named("login")
}

fn login(id: u64, until: impl Into<Option<u64>>) -> Login {
    Login { id, token: format!("token {id}"), user: (id % 3) as u32, until: until.into() }
}

fn value(record: &impl Record) -> Bytes {
    record.__encode().expect("it encodes").into()
}

/// A cluster's only node, with what it has been told so far.
struct Node {
    machine: Machine,
    catalog: Catalog,
    number: u64,
}

impl Node {
    fn new<S: Schema>() -> Node {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let founders = Roster::founded([MemberId::new(vec![1])], [(record(), 1)].into());
        let catalog = Catalog::of::<S>().expect("a schema");
        let machine = Machine::open(Store::open(engine).expect("it is new"), catalog.clone(), founders);
        let mut node = Node { machine: machine.expect("a new store"), catalog, number: 0 };
        node.machine.apply(1, &entry(&[Command::Open { nonce: [0; 16] }])).expect("it applies");
        node
    }

    fn act(&mut self, action: impl Into<Action>) -> Outcome {
        self.number += 1;
        let (number, action) = (self.number, action.into());
        let command = Command::Execute { session: SESSION, number, floor: number, action };
        let answers = self.machine.apply(self.machine.applied() + 1, &entry(&[command])).expect("it applies");
        // The first thing that is wrong with rows shows where it was done.
        verify(&self.machine.views().view(), &self.catalog).expect("records and indexes say the same");
        match &answers[..] {
            [Answer::Write { reply: Reply::Done(outcome), .. }] => outcome.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn put(&mut self, login: &impl Record) -> Outcome {
        self.act(Write::Put { record: record(), value: value(login) })
    }

    fn insert(&mut self, login: &impl Record) -> Outcome {
        self.act(Write::Insert { record: record(), value: value(login) })
    }

    /// Whether it removed anything.
    fn expire(&mut self, now_ms: u64) -> bool {
        self.act(Action::Expire { now_ms }).expect("it is taken").existed
    }

    /// Whether a row is there, whoever may read it.
    fn stores(&self, id: u64) -> bool {
        let key = crate::Key::to_bytes(&id);
        self.machine.views().view().stored(record(), &key).expect("memory reads").is_some()
    }

    fn clock_ms(&self) -> u64 {
        self.machine.clock_ms().expect("memory reads")
    }

    fn found<S: Schema + Member<S>>(&self, query: Query<S>) -> Vec<S> {
        let view = self.machine.views().view();
        let found: Result<Vec<S>, Error> = view
            .select(&query.plan::<S>(), &S::__GLUE)
            .and_then(|rows| rows.map(|row| S::__decode(&row?.value)).collect());
        let found = found.expect("memory reads");
        assert_eq!(view.count(&query.plan::<S>(), &S::__GLUE).expect("memory reads"), found.len() as u64);
        found
    }

    fn got(&self, id: u64) -> Option<Login> {
        let key = crate::Key::to_bytes(&id);
        let row = self.machine.views().view().record(record(), &Login::__GLUE, &key).expect("memory reads");
        row.map(|(_, value)| Login::__decode(&value).expect("a login"))
    }

    /// The keys of all changes, and whether each was a removal.
    fn changes(&self) -> Vec<(u64, bool)> {
        let view = self.machine.views().view();
        let Changes::Page { changes, .. } = view.changes(Place::start_of(1), usize::MAX).expect("memory reads") else {
            panic!("none is gone")
        };
        let id = |key: &Bytes| u64::from_be_bytes(key[..].try_into().expect("a number"));
        changes.into_iter().map(|(_, change)| (id(&change.key), change.after.is_none())).collect()
    }

    fn raise(&mut self, version: u8) {
        let life = Life { incarnation: [1; 16], lapses: 0 };
        let reads = [(record(), version)].into();
        let member = MemberId::new(vec![1]);
        self.act(Reform::Present { member, life, addresses: Vec::new(), reads }).expect("it is a member");
        self.act(Action::Upgrade(record())).expect("it is taken");
    }
}

#[test]
fn a_record_goes_at_its_very_millisecond_and_those_who_watch_are_told() {
    let mut node = Node::new::<Login>();
    for login in [login(1, 1_000), login(2, None), login(3, 1_001)] {
        assert!(!node.put(&login).expect("it is taken").existed);
    }
    node.expire(999);
    assert!(node.stores(1) && node.stores(2) && node.stores(3));
    node.expire(1_000);
    assert!(!node.stores(1) && node.stores(2) && node.stores(3));
    assert_eq!(node.clock_ms(), 1_000);
    node.expire(998);
    assert_eq!(node.clock_ms(), 1_000, "it does not go back");
    node.expire(u64::MAX);
    assert!(node.stores(2), "it never expires");
    assert_eq!(node.changes(), [(1, false), (2, false), (3, false), (1, true), (3, true)]);
}

#[test]
fn what_is_due_goes_some_at_a_time_and_the_clock_never_passes_what_is_left() {
    let mut node = Node::new::<Login>();
    for id in 0..600 {
        node.put(&login(id, 5_000 + id / 300)).expect("it is taken");
    }
    let mut left = Vec::new();
    while node.machine.is_due(9_000).expect("memory reads") {
        assert!(node.expire(9_000));
        left.push(((0..600).filter(|&id| node.stores(id)).count(), node.clock_ms()));
    }
    assert_eq!(left, [(344, 4_999), (88, 5_000), (0, 5_001)]);
    assert!(!node.expire(9_000), "nothing is left");
}

/// A majority started with clocks in 2099, once: whatever was written from then on with an honest instant was dropped.
#[test]
fn a_time_that_is_years_ahead_leaves_no_clock_that_is() {
    let mut node = Node::new::<Login>();
    node.put(&login(1, 1_000)).expect("it is taken");
    node.put(&login(2, None)).expect("it is taken");
    assert!(node.expire(u64::MAX));
    assert_eq!((node.stores(1), node.stores(2), node.clock_ms()), (false, true, 1_000));
    assert!(!node.expire(u64::MAX));
    assert_eq!(node.clock_ms(), 1_000);
    for (id, until) in [(1, 900), (3, 1_000), (4, 1_001)] {
        node.put(&login(id, until)).expect("it is taken");
    }
    assert_eq!([1, 3, 4].map(|id| node.stores(id)), [false, false, true]);
}

/// Between the log's clock and the time there is: as good as removed, and removed by the next step.
#[test]
fn one_that_comes_too_late_is_shown_to_nobody_and_goes_with_the_next_step() {
    let mut node = Node::new::<Login>();
    let now = now_ms();
    node.put(&login(1, now - 9_000)).expect("it is taken");
    assert!(node.expire(now));
    node.put(&login(2, now - 5_000)).expect("it is taken");
    assert!(node.stores(2));
    assert_eq!((node.got(2), node.found(Login::all())), (None, Vec::new()));
    assert!(node.machine.is_due(now).expect("memory reads") && node.expire(now));
    assert_eq!((node.stores(2), node.clock_ms()), (false, now - 5_000));
}

#[test]
fn a_refresh_before_it_is_due_keeps_it_and_one_after_it_makes_a_new_one() {
    let mut node = Node::new::<Login>();
    node.put(&login(1, 1_000)).expect("it is taken");
    assert_eq!(node.insert(&login(1, 2_000)), Err(Refusal::AlreadyExists { record: record() }));
    assert!(node.put(&login(1, 2_000)).expect("it is taken").existed);
    node.expire(1_000);
    assert!(node.stores(1));
    node.expire(2_000);
    assert!(!node.stores(1));
    assert!(!node.insert(&login(1, 3_000)).expect("there is none").existed);
    // Its unique value is free with it.
    assert!(matches!(node.put(&Login { id: 2, ..login(1, 4_000) }), Err(Refusal::UniqueViolation { .. })));
    node.expire(3_000);
    node.put(&Login { id: 2, ..login(1, 4_000) }).expect("nobody has it");
    // One that comes too late is as good as removed.
    assert!(node.put(&login(2, 3_000)).expect("it is taken").existed);
    assert!(!node.stores(2));
    assert!(!node.insert(&login(3, 0)).expect("it is taken").existed);
    assert!(!node.stores(3));
}

/// The removal is agreed on a little later than a clock says that it is due, and much later where nobody leads.
#[test]
fn an_expired_record_is_not_read_before_it_is_swept() {
    let mut node = Node::new::<Login>();
    let until = now_ms() + HOUR_MS;
    for id in 0..600 {
        node.put(&login(id, (id % 2 == 0).then_some(until))).expect("it is taken");
    }
    assert_eq!(node.found(Login::all()).len(), 600);
    assert_eq!(node.got(4), Some(login(4, until)));
    skew_clock_here(2 * HOUR_S);
    assert!(node.stores(4));
    assert_eq!(node.found(Login::all()).len(), 300);
    assert_eq!(node.found(Login::range(0..10_u64).limit(2)), [login(1, None), login(3, None)]);
    assert_eq!(node.found(Login::range(0..10_u64).reverse().limit(1)), [login(9, None)]);
    assert_eq!(node.found(Login::by_user(1)).len(), 100);
    assert_eq!(node.found(Login::by_token("token 4")), []);
    assert_eq!(node.found(Login::by_token("token 5")), [login(5, None)]);
    assert_eq!((node.got(4), node.got(5)), (None, Some(login(5, None))));
    let mut pages = Pages::of(Login::all().plan::<Login>());
    let mut streamed = 0;
    while !pages.have_ended() {
        streamed += pages.read(&node.machine.views().view(), &Login::__GLUE).len();
    }
    assert_eq!(streamed, 300);
}

#[test]
fn a_version_may_begin_and_end_to_expire() {
    use lasting::{First, Second, Third};
    let until = now_ms() + HOUR_MS;
    let mut node = Node::new::<Third>();
    for (id, until) in [(1, 500), (2, 1_500), (3, until)] {
        node.put(&First { id, until }).expect("it is taken");
    }
    node.raise(2);
    node.put(&Second { id: 4, until: 1_000 }).expect("it is taken");
    node.expire(1_000);
    assert!(node.stores(1) && !node.stores(4), "not as it is stored");
    node.act(Action::Upgrade(record())).expect("it is taken");
    assert!(!node.stores(1) && node.stores(2) && node.stores(3), "as it is stored from now on");
    assert_eq!(node.found(Second::all()), [Second { id: 3, until }]);
    assert_eq!(node.changes().last(), Some(&(1, true)));
    node.expire(1_500);
    assert!(!node.stores(2));
    node.raise(3);
    skew_clock_here(2 * HOUR_S);
    assert_eq!(node.found(Third::all()), [], "it is not converted yet");
    node.act(Action::Upgrade(record())).expect("it is taken");
    assert_eq!(node.found(Third::all()), [Third { id: 3 }]);
    node.expire(u64::MAX);
    assert!(node.stores(3));
}

/// A conversion that came before the sweep had it there again, for good.
#[test]
fn what_has_expired_is_not_brought_along_into_a_version_in_which_it_has_not() {
    use lasting::{First, Second, Third};
    let mut node = Node::new::<Third>();
    node.put(&First { id: 9, until: 0 }).expect("it is taken");
    node.raise(2);
    for (id, until) in [(1, 500), (2, 1_000), (3, 1_001)] {
        node.put(&Second { id, until }).expect("it is taken");
    }
    node.act(Action::UpgradeAt { record: record(), now_ms: 900 }).expect("it is taken");
    assert!(node.stores(1), "it is in this version already, and goes when it is swept");
    node.raise(3);
    node.act(Action::UpgradeAt { record: record(), now_ms: 1_000 }).expect("it is taken");
    assert_eq!(node.found(Third::all()), [Third { id: 3 }]);
    assert_eq!(node.changes().split_off(4), [(9, true), (1, true), (2, true)], "those who watch are told");
}

#[test]
fn the_same_log_gives_the_same_state_whatever_the_clocks_of_nodes_say() {
    let mut nodes = [Node::new::<Login>(), Node::new::<Login>()];
    let start = now_ms();
    for (node, skew_s) in nodes.iter_mut().zip([-30 * HOUR_S, 30 * HOUR_S]) {
        skew_clock_here(skew_s);
        for id in 0..400 {
            node.put(&login(id, start + id)).expect("it is taken");
            if id % 3 == 0 {
                let _ = node.insert(&login(id / 2, start + id + 7));
            }
            if id % 50 == 49 {
                node.expire(start + id / 2);
            }
        }
    }
    let [one, other] = nodes;
    assert_eq!(one.machine.state_hash().expect("memory reads"), other.machine.state_hash().expect("memory reads"));
    assert_eq!((one.machine.sum(), one.clock_ms()), (other.machine.sum(), other.clock_ms()));
    assert!(one.clock_ms() > start && one.stores(399) && !one.stores(3));
}

mod damage;
mod transactions;
