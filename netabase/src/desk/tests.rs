//! Clients that do not keep to the protocol, and peers that are none: nothing they send may harm anybody.

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use serde::de::DeserializeOwned;

use super::message::{
    Confirmed, Held, Hello, Page, Read, Request, Settled, Step, Stepped, Submitted, Trouble, Welcome,
};
use super::message::{Values, Watched};
use super::{LEASES_MAX, REQUESTS_MAX, UNDER_WAY_MAX};
use crate::command::{Action, COMMANDS_MAX, Command, SessionId, Transaction, Write};
use crate::event::Start;
use crate::network::{Channel, Network, NetworkEvent, RequestError};
use crate::node::Role;
use crate::schema::{After, Catalog, IndexId, Plan, RecordId, Summary, codec};
use crate::storage::Place;
use crate::testing::Cluster;
use crate::testing::fixture::Item;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that sends what it likes.
struct Peer {
    network: Network,
    _events: tokio::sync::mpsc::Receiver<NetworkEvent>,
    member: PeerId,
}

impl Peer {
    async fn join(cluster: &Cluster<Item>, role: Option<Role>) -> Self {
        let peer = PeerId::random();
        if let Some(role) = role {
            cluster.admit(peer, role).await.expect("there is a leader");
        }
        let (network, events) = cluster.fabric().join(peer);
        Peer { network, _events: events, member: cluster.peer_id(0) }
    }

    fn send(&self, payload: Bytes) -> impl Future<Output = Result<Bytes, RequestError>> + use<> {
        self.network.request(self.member, Channel::Client, payload, TIMEOUT)
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Trouble> {
        let payload = codec::encode(&request).expect("a request encodes");
        let answer = self.send(payload.into()).await.expect("a client is answered");
        codec::decode(&answer).expect("an answer is one")
    }

    async fn is_refused(&self, payload: impl Into<Bytes>) -> bool {
        matches!(self.send(payload.into()).await, Err(RequestError::Refused(_)))
    }
}

fn all() -> Plan {
    Plan {
        record: RecordId::named("item"),
        index: None,
        lower: Bound::Unbounded,
        upper: Bound::Unbounded,
        limit: None,
        reverse: false,
        after: None,
    }
}

fn item(id: u64) -> Item {
    Item { id, name: format!("item {id}") }
}

fn value(id: u64) -> Bytes {
    use crate::schema::Record as _;
    item(id).__encode().expect("it encodes").into()
}

fn read(plan: Plan) -> Request {
    Request::Read { seen: 0, view: None, read: Read::Page { plan } }
}

fn execute(session: SessionId, number: u64) -> Bytes {
    let write = Write::Insert { record: RecordId::named("item"), value: value(number) };
    Command::Execute { session, number, floor: 0, action: write.into() }.encode().as_bytes().clone()
}

fn step(id: u64, new: bool, first: u32, writes: Vec<Write>, step: Step) -> Request {
    let writes = Transaction { writes, ..Transaction::default() }.to_bytes();
    Request::Transact { seen: 0, lease: Held { id, new }, first, writes, step }
}

async fn stands(cluster: &Cluster<Item>, id: u64, what: &str) {
    let db = cluster.node(0);
    db.put_record(item(id)).await.unwrap_or_else(|error| panic!("after {what}: {error}"));
    let client = cluster.client().await.unwrap_or_else(|error| panic!("after {what}: {error}"));
    assert!(client.get_record::<Item>(id).await.is_ok_and(|item| item.is_some()), "after {what}");
    client.shutdown().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_no_client_is_told_nothing() {
    let cluster = Cluster::<Item>::start(1).await.unwrap();
    let stranger = Peer::join(&cluster, None).await;
    for request in [Request::Confirm, read(all()), Request::Submit { commands: Vec::new() }] {
        assert!(stranger.is_refused(codec::encode(&request).unwrap()).await, "{request:?}");
    }
    stands(&cluster, 1, "a stranger").await;
    cluster.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_and_another_schema_are_told_so() {
    let cluster = Cluster::<Item>::start(1).await.unwrap();
    let peer = Peer::join(&cluster, Some(Role::Client)).await;
    let ours = Catalog::of::<Item>().unwrap().summary();
    let cluster_id = crate::consensus::ClusterId([9; 16]);
    let hello = |cluster, schema| Request::Hello(Hello { cluster, schema });
    let told = peer.ask::<Welcome>(hello(cluster_id, ours.clone())).await;
    let Err(Trouble::OtherCluster { cluster: member }) = told else { panic!("{told:?}") };
    assert!(peer.ask::<Welcome>(hello(member, ours)).await.is_ok());
    assert!(
        peer.ask::<Welcome>(hello(member, Summary::default())).await.is_ok(),
        "it knows no record, and none that differs"
    );
    for schema in [("item", 1, "other"), ("item", 2, "later"), ("else", 1, "")] {
        let told = peer.ask::<Welcome>(hello(member, Summary::made_of(&[schema]))).await;
        assert!(matches!(told, Err(Trouble::SchemaMismatch { .. })), "{told:?}");
    }
    cluster.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_and_requests_that_make_no_sense_are_refused() {
    let cluster = Cluster::<Item>::start(1).await.unwrap();
    cluster.node(0).put_records((0..100).map(item)).await.unwrap();
    let peer = Peer::join(&cluster, Some(Role::Client)).await;
    let whole = codec::encode(&read(all())).unwrap();
    for garbage in [&[][..], &[0xff; 40], &[7; 4_000], &whole[..whole.len() - 1], &[&whole[..], &[0]].concat()] {
        assert!(peer.is_refused(garbage.to_vec()).await, "{} bytes", garbage.len());
    }
    let malformed = |answer: Result<Page, Trouble>| matches!(answer, Err(Trouble::Malformed { .. }));
    assert!(malformed(peer.ask(read(Plan { record: RecordId(1), ..all() })).await));
    assert!(malformed(peer.ask(read(Plan { index: Some(IndexId(1)), ..all() })).await));
    // Bounds the wrong way round, and places that are none, select nothing or from there on.
    let name = Some(IndexId::named("name"));
    for index in [None, name] {
        for reverse in [false, true] {
            for (lower, upper) in [(vec![0xff; 9], vec![0]), (vec![5], vec![5]), (Vec::new(), Vec::new())] {
                for after in [None, Some(After::Row { index_key: vec![0xff; 70], key: vec![1] })] {
                    let bounds = (Bound::Excluded(lower.clone()), Bound::Excluded(upper.clone()));
                    let plan = Plan { index, lower: bounds.0, upper: bounds.1, reverse, after, ..all() };
                    peer.ask::<Page>(read(plan.clone())).await.unwrap();
                    let start = Start::At(Place { round: u64::MAX, position: u32::MAX });
                    let watch = Request::Watch { seen: 0, plan: plan.clone(), start, wait_ms: 0 };
                    assert!(peer.ask::<Watched>(watch).await.unwrap().events.is_empty());
                    let start = Start::Rest { base: 1, last: Some((vec![0xff; 3], Bytes::from_static(b"\xff"))) };
                    let watch = Request::Watch { seen: 0, plan, start, wait_ms: 0 };
                    peer.ask::<Watched>(watch).await.unwrap();
                }
            }
        }
    }
    let huge = vec![0xee; 1 << 20];
    let plan = Plan { lower: Bound::Included(huge.clone()), upper: Bound::Included(huge), limit: Some(0), ..all() };
    assert_eq!(peer.ask::<Page>(read(plan)).await.unwrap().values.len(), 0);
    let lookup =
        |record| Request::Read { seen: 0, view: None, read: Read::Get { record, keys: vec![Bytes::new(); 100_000] } };
    let unknown = peer.ask::<Values>(lookup(RecordId(3))).await;
    assert!(matches!(unknown, Err(Trouble::Malformed { .. })), "{unknown:?}");
    let lookup = peer.ask::<Values>(lookup(RecordId::named("item"))).await.unwrap();
    assert!(lookup.values.iter().all(Option::is_none));
    // A round that will never be.
    let behind = peer.ask::<Page>(Request::Read { seen: u64::MAX, view: None, read: Read::Page { plan: all() } }).await;
    assert_eq!(behind, Err(Trouble::Behind));
    stands(&cluster, 1_000, "nonsense").await;
    cluster.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_few_and_their_client_s_own() {
    let cluster = Cluster::<Item>::start(1).await.unwrap();
    cluster.node(0).put_records((0..100).map(item)).await.unwrap();
    let (greedy, other) =
        (Peer::join(&cluster, Some(Role::Client)).await, Peer::join(&cluster, Some(Role::Client)).await);
    let key = || Step::Get { record: RecordId::named("item"), key: Bytes::from_static(&[0; 8]) };
    let mut begun = 0;
    for id in 0..10_000 {
        match greedy.ask::<Stepped<Option<Bytes>>>(step(id, true, 0, Vec::new(), key())).await {
            Ok(_) => begun += 1,
            Err(Trouble::Overloaded { limit }) => assert_eq!(limit, LEASES_MAX as u64),
            Err(trouble) => panic!("{trouble:?}"),
        }
    }
    // Some have ended meanwhile, and others taken their place.
    assert!(begun >= LEASES_MAX, "{begun}");
    let unknown = other.ask::<Stepped<Option<Bytes>>>(step(0, false, 0, Vec::new(), key())).await;
    assert_eq!(unknown, Err(Trouble::NoLease), "another's");
    assert!(other.ask::<Stepped<Option<Bytes>>>(step(0, true, 0, Vec::new(), key())).await.is_ok(), "there is room");
    let missing = other.ask::<Stepped<Option<Bytes>>>(step(0, false, 7, Vec::new(), key())).await;
    assert!(matches!(missing, Err(Trouble::Malformed { .. })), "{missing:?}");
    let moment = Request::Read { seen: 0, view: Some(Held { id: 0, new: false }), read: Read::Page { plan: all() } };
    assert!(matches!(other.ask::<Page>(moment).await, Err(Trouble::Malformed { .. })), "it is of a transaction");
    other.ask::<()>(Request::Release { leases: (0..10_000).collect() }).await.unwrap();
    let released = other.ask::<Stepped<Option<Bytes>>>(step(0, false, 0, Vec::new(), key())).await;
    assert_eq!(released, Err(Trouble::NoLease));
    stands(&cluster, 1_000, "10,000 transactions begun").await;
    cluster.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_no_entry_holds_is_not_kept() {
    let cluster = Cluster::<Item>::start(1).await.unwrap();
    let peer = Peer::join(&cluster, Some(Role::Client)).await;
    let key = |n: u32| {
        let mut key = vec![0; 100_000];
        key[..4].copy_from_slice(&n.to_be_bytes());
        Step::Get { record: RecordId::named("item"), key: key.into() }
    };
    let mut refused = None;
    for n in 0..100 {
        if let Err(trouble) = peer.ask::<Stepped<Option<Bytes>>>(step(1, n == 0, 0, Vec::new(), key(n))).await {
            refused = Some((n, trouble));
            break;
        }
    }
    let Some((n, Trouble::TransactionTooLarge { .. })) = refused else { panic!("{refused:?}") };
    assert!(n > 5, "{n}");
    // A step that comes twice is done once.
    let insert = vec![Write::Insert { record: RecordId::named("item"), value: value(1) }];
    for new in [true, false, false] {
        let told = peer.ask::<Stepped<Bytes>>(step(2, new, 0, insert.clone(), Step::Conclude)).await;
        match told {
            Ok(Stepped { refusals, .. }) => assert_eq!((refusals, new), (vec![None], true)),
            Err(trouble) => assert_eq!((trouble, new), (Trouble::NoLease, false)),
        }
    }
    for new in [true, false] {
        let told = peer.ask::<Stepped<Page>>(step(3, new, 0, insert.clone(), Step::Page { plan: all() })).await;
        let Stepped { refusals, result, .. } = told.unwrap();
        assert_eq!((refusals, result.values), (vec![None], vec![value(1)]), "new: {new}");
    }
    cluster.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_client_s_commands_are_taken_and_of_a_reader_none() {
    let cluster = Cluster::<Item>::start(3).await.unwrap();
    let (writer, reader) =
        (Peer::join(&cluster, Some(Role::Client)).await, Peer::join(&cluster, Some(Role::Reader)).await);
    let open = Command::Open { nonce: [7; 16] }.encode().as_bytes().clone();
    let opened: Submitted = writer.ask(Request::Submit { commands: vec![open.clone()] }).await.unwrap();
    let [Settled::Opened(session)] = opened.settled[..] else { panic!("{opened:?}") };
    let forbidden = reader.ask::<Submitted>(Request::Submit { commands: vec![execute(session, 1)] }).await;
    assert!(matches!(forbidden, Err(Trouble::NotAuthorized { .. })), "{forbidden:?}");
    let close = Command::Close { session }.encode().as_bytes().clone();
    let oversized = Write::Put { record: RecordId::named("item"), value: vec![0; 2 << 20].into() };
    let oversized = Command::Execute { session, number: 1, floor: 0, action: oversized.into() }.encode();
    // How late it is, and which version is written, is not for clients to say.
    let said = |action| Command::Execute { session, number: 1, floor: 0, action }.encode().as_bytes().clone();
    let late = said(Action::Expire { now_ms: u64::MAX });
    let upgrade = said(Action::Upgrade(RecordId::named("item")));
    let upgrade_late = said(Action::UpgradeAt { record: RecordId::named("item"), now_ms: u64::MAX });
    let malformed = Bytes::from_static(b"\xff");
    for bytes in [close, late, upgrade, upgrade_late, malformed, Bytes::new(), oversized.as_bytes().clone()] {
        // With a good one before it, which is not taken either.
        let refused = writer.ask::<Submitted>(Request::Submit { commands: vec![execute(session, 1), bytes] }).await;
        assert!(matches!(refused, Err(Trouble::Malformed { .. })), "{refused:?}");
    }
    let too_many = Request::Submit { commands: vec![open; UNDER_WAY_MAX + 1] };
    assert_eq!(
        writer.ask::<Submitted>(too_many).await,
        Err(Trouble::Overloaded { limit: UNDER_WAY_MAX as u64 }),
        "of {COMMANDS_MAX} in an entry"
    );
    // The same command again and again is done once, and each time told of.
    let done: Submitted = writer.ask(Request::Submit { commands: vec![execute(session, 1); 50] }).await.unwrap();
    let first = done.settled[0].clone();
    assert!(matches!(first, Settled::Done(Ok(_))) && done.settled.iter().all(|settled| *settled == first), "{done:?}");
    let none = SessionId { round: 1 << 40, position: 0 };
    let gone: Submitted = writer.ask(Request::Submit { commands: vec![execute(none, 1)] }).await.unwrap();
    assert_eq!(gone.settled, [Settled::SessionGone]);
    let read: Confirmed = reader.ask(Request::Confirm).await.unwrap();
    assert!(read.applied >= gone.applied);
    stands(&cluster, 1_000, "commands that are not a client's").await;
    cluster.shutdown().await.unwrap();
}

/// Requests that wait: one client has so many, and the others are served beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_too_much_is_refused_and_holds_up_nobody() {
    let cluster = Cluster::<Item>::start(1).await.unwrap();
    let peer = Peer::join(&cluster, Some(Role::Reader)).await;
    let now: Watched = peer.ask(Request::Watch { seen: 0, plan: all(), start: Start::Now, wait_ms: 0 }).await.unwrap();
    let watch = Request::Watch { seen: 0, plan: all(), start: now.next, wait_ms: u32::MAX };
    let watch: Bytes = codec::encode(&watch).unwrap().into();
    let mut waiting: Vec<_> = (0..REQUESTS_MAX).map(|_| Box::pin(peer.send(watch.clone()))).collect();
    // The last one that fits is there when one more does not.
    assert!(peer.is_refused(watch.clone()).await);
    stands(&cluster, 1, "a client that waits").await;
    // What was written is told to all of them.
    for waiting in &mut waiting {
        let answer = waiting.await.expect("a client is answered");
        let watched: Result<Watched, Trouble> = codec::decode(&answer).unwrap();
        assert_eq!(watched.unwrap().events.len(), 1);
    }
    cluster.shutdown().await.unwrap();
}

/// Otherwise a watch that seldom matches would fall behind what is kept of changes.
#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_a_watch_moves_on_where_nothing_matches() {
    let cluster = Cluster::<Item>::start(1).await.unwrap();
    let peer = Peer::join(&cluster, Some(Role::Reader)).await;
    let plan = Plan { lower: Bound::Included(vec![0xff; 8]), ..all() };
    let watch = |start, wait_ms| Request::Watch { seen: 0, plan: plan.clone(), start, wait_ms };
    let begun: Watched = peer.ask(watch(Start::Now, 0)).await.unwrap();
    let round = cluster.node(0).put_records((0..100).map(item)).await.unwrap().round().unwrap();
    let mut next = begun.next;
    let mut asked = 0;
    while !matches!(next, Start::At(place) if place.round > round) {
        asked += 1;
        assert!(asked < 50, "it stays at {next:?}");
        let watched: Watched = peer.ask(watch(next, 100)).await.unwrap();
        assert_eq!((watched.events.len(), watched.lagged), (0, None));
        next = watched.next;
    }
    // What is there is told from where it was left, by whichever watcher, and nothing of it again.
    let all = |start| Request::Watch { seen: 0, plan: all(), start, wait_ms: 0 };
    let (mut told, mut next) = (0, Start::Current);
    while told < 100 {
        let watched: Watched = peer.ask(all(next)).await.unwrap();
        told += watched.events.len();
        next = match &watched.events[..] {
            // Each request a record: as if the answer had held no more.
            [first, ..] if told < 100 => {
                told -= watched.events.len() - 1;
                Start::Rest { base: first.place.round, last: Some((Vec::new(), first.key.clone())) }
            }
            _ => watched.next,
        };
    }
    assert_eq!(told, 100);
    let over: Watched = peer.ask(all(next)).await.unwrap();
    assert_eq!(over.events, []);
    cluster.shutdown().await.unwrap();
}
