//! Where the fuzzer begins: valid encodings of everything, for each target. The same in every run, so that the corpus can be
//! held against them.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::archive;
use super::sample::{Note, Person, catalog, entry, execute, member, note, person, put, record_id, rounds, value};
use crate::command::{
    Action, Applied, Batch, Command, Digest, MemberId, RangeRead, Read, Refusal, RequestId, Seal, Transaction,
};
use crate::consensus::{ClusterId, fuzz::log};
use crate::desk::Right;
use crate::desk::message::{
    Confirmed, Count, Hash, Held, Hello, Page, Read as Ask, Request, Settled, Step, Stepped, Submitted, Told, Trouble,
    Values, Watched, Welcome,
};
use crate::event::Start;
use crate::node::fuzz;
use crate::schema::{After, IndexId, Plan, codec};
use crate::storage::Place;
use crate::{consensus, network};

/// A file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The target that it is for.
    pub target: &'static str,
    /// Its name, which no other seed of the target has.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// All seeds of all targets.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let all = [
        ("archive", archives()),
        ("chunks", chunks()),
        ("disk_bytes", disk_bytes()),
        ("invite", invites()),
        ("keys", keys()),
        ("operations", operations()),
        ("peer_bytes", peer_bytes()),
    ];
    let seed = |target, (number, bytes)| Seed { target, name: format!("seed-{number:03}"), bytes };
    all.into_iter().flat_map(|(target, seeds)| (0..).zip(seeds).map(move |numbered| seed(target, numbered))).collect()
}

fn of(kind: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&[kind], bytes.as_ref()].concat()
}

fn archives() -> Vec<Vec<u8>> {
    let sound = super::archive::sound().1;
    let rows = [&[2_u8][..], &[3, 1, 2, 3], &[2, 9, 9], &[4, 2, 0, 0, 1], &[4, 0, 0, 0, 1]].concat();
    vec![
        of(0, &sound),
        of(1, &sound[..sound.len() - 32]),
        of(1, [&archive::unended()[..], &[0xff; 4], &9_u64.to_be_bytes()].concat()),
        rows,
        of(3, []),
        of(3, [0, 40, 0, 1]),
        of(3, [0, 90, 5, 3, 0, 9, 3, 2, 7, 7]),
    ]
}

fn chunks() -> Vec<Vec<u8>> {
    // 0, 7: what the peer has; 1: the next piece; 4: a wrong one; 6: a pause; 7: thrown away; 8: a power cut; 9: built.
    vec![
        vec![0, 0, 7, 1, 9],
        vec![0, 0, 7, 1, 6, 0, 7, 1, 9],
        vec![7, 0, 7, 1, 1, 8, 0, 0, 7, 1, 1, 1, 9],
        vec![7, 0, 7, 1, 6, 0, 7, 1, 7, 0, 7, 1, 1, 1, 9],
        vec![0, 0, 7, 4, 0, 5, 8, 9, 7, 0, 7, 1, 9],
        vec![0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 5, 0, 3, 1, 7, 9],
        // All of one, a wrong piece of another, and the first again.
        vec![7, 0, 7, 1, 1, 1, 0, 1, 5, 4, 0, 3, 1, 0, 7, 1, 1, 1, 9],
    ]
}

fn disk_bytes() -> Vec<Vec<u8>> {
    let (card, markers) = fuzz::seeds(&catalog());
    let mut seeds =
        vec![of(2, card), of(5, value(&person("ab", Some("b@x"), None, 7))), of(5, value(&note(1, "t", b"x")))];
    seeds.extend(log::seeds(&entry(&rounds()[1])).into_iter().map(|row| of(0, row)));
    seeds.extend(markers.into_iter().map(|marker| of(3, marker)));
    let entry_row = &log::seeds(&entry(&[]))[0];
    let rows: [(u8, u8, u8, &[u8]); 6] = [
        (0, 0, 9, b""),
        (1, 0, 1, entry_row),
        (1, 0, 2, entry_row),
        (3, 0, 1, b""),
        (3, 1, 2, b""),
        (5, 0, 0, &log::seeds(&entry(&[]))[1]),
    ];
    let row = |(table, epoch, round, value): (u8, u8, u8, &[u8])| {
        [&[table, 0, epoch, 0, round, u8::try_from(value.len()).unwrap_or(0)], value].concat()
    };
    seeds.push(of(1, rows.map(row).concat()));
    seeds.push(of(
        4,
        [&12_u64.to_be_bytes()[..], &[7; 32], &40_u64.to_be_bytes(), &20_u64.to_be_bytes(), &[1; 30]].concat(),
    ));
    seeds.push(of(6, codec::encode(catalog().descriptor()).expect("it encodes")));
    seeds.push(of(7, []));
    // One row each: lost, emptied, changed in its value.
    seeds.extend((0..24).step_by(3).flat_map(|row| [vec![7, row, 0], vec![7, row, 1, 0], vec![7, row, 4, 3, 0xff]]));
    seeds
}

fn invites() -> Vec<Vec<u8>> {
    let text = fuzz::invite_text(&fuzz::invite_body(1)).expect("it is short");
    vec![
        of(0, &text),
        of(0, format!("  {text}\n")),
        of(0, &text[..text.len() / 2]),
        of(0, "netabase-invite-AQ"),
        of(1, fuzz::invite_body(0)),
        of(1, fuzz::invite_body(2)),
        of(1, fuzz::invite_body(17)),
    ]
}

fn keys() -> Vec<Vec<u8>> {
    let made = |kind: u8| vec![kind, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0, 0, 0, 255, 255];
    let read = |kind: u8| vec![kind, 1, 1, 0, 0xff, 97, 0, 0, 1, 0, 7, 98, 0, 0, 255];
    (0..28).chain([100, 101, 102]).flat_map(|kind| [made(kind), read(kind)]).collect()
}

fn operations() -> Vec<Vec<u8>> {
    // Every operation with small numbers behind it, in a few orders.
    let ramp = |start: u8, step: u8| (0..200_u8).map(|at| start.wrapping_add(at.wrapping_mul(step)) % 16).collect();
    let mut seeds: Vec<Vec<u8>> =
        [(0, 1), (3, 5), (7, 7), (1, 3), (2, 11)].map(|(start, step)| ramp(start, step)).to_vec();
    // Put, put, end of the round, query by city, flush, restart.
    seeds.push(
        [
            &[0, 0, 1, 1, 1, 1, 1, 0, 1][..],
            &[1, 0, 6, 1, 3, 1, 1, 0, 2],
            &[5, 7, 3, 1, 0, 8, 11],
            &[3, 1, 3, 1, 0, 0, 1, 4, 1, 0],
            &[5, 9, 10, 1, 7, 9, 3],
        ]
        .concat(),
    );
    seeds
}

fn peer_bytes() -> Vec<Vec<u8>> {
    let mut seeds = vec![of(0, [&[3, 0, 7, 200], &network::fuzz::seed()[..]].concat())];
    let entries: Vec<_> = rounds().iter().map(|commands| entry(commands)).collect();
    let commands: Vec<Bytes> = all_commands().iter().map(|command| command.encode().as_bytes().clone()).collect();
    let messages = consensus::fuzz::seeds(&entries[1], commands[..3].to_vec());
    seeds.extend(messages.into_iter().map(|(kind, bytes)| of(1, of(kind, bytes))));
    seeds.extend(requests(&commands).iter().map(|request| of(3, codec::encode(request).expect("it encodes"))));
    seeds.extend(answers().into_iter().map(|(kind, bytes)| of(4, of(kind, bytes))));
    seeds.extend(entries.iter().map(|entry| of(5, &entry.body)));
    let voters: Vec<MemberId> = vec![member(1), member(2)];
    seeds.push(of(5, Batch::seal(Seal { epoch: 0, voters, first: member(2) })));
    seeds.extend(commands.iter().map(|bytes| of(6, bytes)));
    seeds.push(of(7, transaction().to_bytes()));
    seeds
}

fn all_commands() -> Vec<Command> {
    let mut commands: Vec<Command> = rounds().concat();
    commands.push(execute(20, 20, Action::Transact(Arc::new(transaction()))));
    commands
}

fn plan(index: Option<&str>) -> Plan {
    Plan {
        record: record_id::<Person>(),
        index: index.map(IndexId::named),
        lower: Bound::Included(b"Paris\0\0".to_vec()),
        upper: Bound::Unbounded,
        limit: Some(5),
        reverse: index.is_none(),
        after: index.map(|_| After::Key(b"aa\0\0".to_vec())),
    }
}

fn transaction() -> Transaction {
    let key = Bytes::from_static(b"aa\0\0");
    let range = RangeRead {
        record: record_id::<Person>(),
        index: Some(IndexId::named("city")),
        lower: Bound::Included(Bytes::from_static(b"\x02")),
        upper: Bound::Excluded(Bytes::from_static(b"\x03")),
        hidden_by_ms: 0,
        seen: Digest { rows: 2, hash: [1; 16] },
    };
    let (record, late) = (record_id::<Person>(), RangeRead { hidden_by_ms: 1_795_000_000_000, ..range.clone() });
    let gone = Read::Hidden { record, key: Bytes::from_static(b"ab\0\0"), round: 3 };
    Transaction {
        request: Some(RequestId([4; 16])),
        reads: vec![Read::Record { record, key, round: 2 }, gone, Read::Range(range), Read::Range(late)],
        writes: vec![put(&person("ba", Some("a@x"), Some("Rome"), 1)), put(&note(1, "u", b"y"))],
    }
}

fn requests(commands: &[Bytes]) -> Vec<Request> {
    let view = Some(Held { id: 3, new: true });
    let lease = Held { id: 4, new: true };
    let read = |read: Ask| Request::Read { seen: 1, view, read };
    let key = Bytes::from_static(b"aa\0\0");
    let transact = |step: Step| Request::Transact { seen: 1, lease, first: 0, writes: transaction().to_bytes(), step };
    let watch = |index: Option<&str>, start: Start| Request::Watch { seen: 1, plan: plan(index), start, wait_ms: 100 };
    vec![
        Request::Hello(Hello { cluster: ClusterId([1; 16]), schema: catalog().summary() }),
        read(Ask::Get { record: record_id::<Person>(), keys: vec![key.clone(), Bytes::new()] }),
        read(Ask::Page { plan: plan(None) }),
        read(Ask::Page { plan: plan(Some("city")) }),
        read(Ask::Count { plan: Plan { after: None, ..plan(Some("city_age")) } }),
        read(Ask::Hash),
        Request::Confirm,
        Request::Submit { commands: commands[..4].to_vec() },
        watch(None, Start::Now),
        watch(Some("city"), Start::Current),
        watch(Some("email"), Start::At(Place { round: 2, position: 1 })),
        watch(None, Start::Rest { base: 3, last: Some((vec![1], key.clone())) }),
        transact(Step::Get { record: record_id::<Note>(), key }),
        transact(Step::Page { plan: plan(Some("city")) }),
        transact(Step::Conclude),
        Request::Release { leases: vec![1, 2, 3] },
    ]
}

fn answers() -> Vec<(u8, Vec<u8>)> {
    fn good<T: serde::Serialize>(answer: T) -> Vec<u8> {
        codec::encode(&Ok::<T, Trouble>(answer)).expect("it encodes")
    }
    let me = fuzz::identity().peer_id();
    let address = "/ip4/10.0.0.1/tcp/4710".parse().expect("an address");
    let welcome = Welcome {
        right: Right::Write,
        record_bytes_max: 1 << 20,
        members: vec![(me, vec![address])],
        epoch: 2,
        voters: vec![me],
        leader: Some(me),
        applied: 10,
        durable: 9,
        known: 11,
        active: catalog().newest(),
    };
    let bytes = || Bytes::from_static(b"value");
    let page = || Page { applied: 1, values: vec![bytes()], next: Some(After::Key(vec![1, 2])) };
    let told = Told {
        place: Place { round: 2, position: 1 },
        round: 2,
        key: bytes(),
        before: Some((1, bytes())),
        after: None,
    };
    let refusal = Refusal::UniqueViolation { record: record_id::<Person>(), index: IndexId::named("email") };
    let settled = vec![
        Settled::Done(Ok(Applied { round: 3, existed: true })),
        Settled::Done(Err(refusal.clone())),
        Settled::Unknown,
    ];
    let mismatch = Trouble::SchemaMismatch { member: "a".into(), client: "b".into() };
    vec![
        (0, good(welcome)),
        (0, codec::encode(&Err::<Welcome, _>(mismatch)).expect("it encodes")),
        (1, good(Values { applied: 1, values: vec![Some(bytes()), None] })),
        (2, good(page())),
        (3, good(Count { applied: 1, count: 7 })),
        (4, good(Hash { applied: 1, hash: [1; 32] })),
        (5, good(Confirmed { applied: 1 })),
        (6, good(Submitted { applied: 1, settled })),
        (7, good(Watched { applied: 1, events: vec![told], next: Start::Now, lagged: Some(3) })),
        (8, good(Stepped { refusals: vec![Some(refusal)], unswept: true, result: Some(bytes()) })),
        (9, good(Stepped { refusals: vec![None], unswept: false, result: page() })),
    ]
}
