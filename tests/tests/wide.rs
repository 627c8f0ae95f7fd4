//! Schemas at their widest: a hundred record types, a record of forty fields with twelve indexes, and generic records, each
//! put through the same calls and held against an ordered map.

use std::collections::BTreeMap;

use netabase::prelude::*;
use netabase::store::Store;
use netabase::testing::{Cluster, Random};
use netabase::{Key, Member, Schema};
use serde::{Deserialize, Serialize};

/// Each a record type of its own, all of them one schema.
macro_rules! hundred {
    ($($name:ident)*) => {
        $(
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
            struct $name {
                #[netabase(key)]
                id: u64,
                #[netabase(index)]
                group: u32,
                #[netabase(unique)]
                name: String,
            }

            impl Made for $name {
                fn made(id: u64, value: u32) -> Self {
                    $name { id, group: value % 7, name: format!("{id} {value}") }
                }
            }
        )*

        #[derive(NetabaseSchema)]
        #[allow(clippy::upper_case_acronyms)]
        enum Hundred { $($name($name)),* }

        fn all_of_the_hundred(store: &Store<Hundred>, seed: u64) {
            $(conforms::<Hundred, $name>(store, seed);)*
        }
    };
}

hundred! {
    R00 R01 R02 R03 R04 R05 R06 R07 R08 R09 R10 R11 R12 R13 R14 R15 R16 R17 R18 R19 R20 R21 R22 R23 R24 R25 R26
    R27 R28 R29 R30 R31 R32 R33 R34 R35 R36 R37 R38 R39 R40 R41 R42 R43 R44 R45 R46 R47 R48 R49 R50 R51 R52 R53
    R54 R55 R56 R57 R58 R59 R60 R61 R62 R63 R64 R65 R66 R67 R68 R69 R70 R71 R72 R73 R74 R75 R76 R77 R78 R79 R80
    R81 R82 R83 R84 R85 R86 R87 R88 R89 R90 R91 R92 R93 R94 R95 R96 R97 R98 R99
}

/// Forty fields, and twelve indexes: of single fields, of options, and over several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[allow(clippy::duplicated_attributes, reason = "a field in two indexes is no mistake")]
#[netabase(index(name = "by_pair", fields(f01, f02)), index(name = "by_three", fields(f03, f04, f05)))]
#[netabase(index(name = "by_text", fields(f08, f09)), index(name = "by_mixed", fields(f10, f01)))]
#[netabase(index(name = "by_key_first", fields(first, f02)))]
struct Wide {
    #[netabase(key)]
    first: u32,
    #[netabase(key)]
    second: u64,
    flags: Vec<bool>,
    #[netabase(index)]
    f01: u32,
    #[netabase(index)]
    f02: u32,
    #[netabase(index)]
    f03: u32,
    #[netabase(index)]
    f04: u32,
    #[netabase(index)]
    f05: u32,
    #[netabase(unique)]
    f06: Option<String>,
    #[netabase(unique)]
    f07: Option<String>,
    f08: String,
    f09: String,
    f10: String,
    f11: String,
    f12: String,
    f13: String,
    f14: String,
    f15: String,
    f16: String,
    f17: String,
    f18: String,
    f19: String,
    f20: String,
    f21: String,
    f22: String,
    f23: String,
    f24: String,
    f25: String,
    f26: String,
    f27: String,
    f28: String,
    f29: String,
    f30: String,
    f31: String,
    f32: String,
    f33: String,
    f34: String,
    f35: String,
    f36: String,
    f37: String,
}

/// A record whose payload is the caller's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Tagged<T> {
    #[netabase(key)]
    id: u64,
    #[netabase(index)]
    tag: String,
    payload: T,
}

/// A record whose key is the caller's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Keyed<K> {
    #[netabase(key)]
    key: K,
    value: u32,
}

#[derive(NetabaseSchema)]
enum Generic {
    #[netabase(name = "numbers")]
    Numbers(Tagged<Vec<u64>>),
    #[netabase(name = "texts")]
    Texts(Tagged<String>),
    Keyed(Keyed<String>),
}

/// A record of this number, with this value in it.
trait Made: Clone + PartialEq + std::fmt::Debug {
    fn made(id: u64, value: u32) -> Self;
}

impl Made for Wide {
    fn made(id: u64, value: u32) -> Self {
        let text = |field: u32| format!("{field} {value}");
        Wide {
            first: (id % 5) as u32,
            second: id,
            flags: vec![value.is_multiple_of(2); 3],
            f01: value % 3,
            f02: value % 4,
            f03: value % 5,
            f04: value % 6,
            f05: value % 7,
            f06: (!value.is_multiple_of(3)).then(|| format!("{id} {value} 6")),
            f07: (!value.is_multiple_of(3)).then(|| format!("{id} {value} 7")),
            f08: text(8),
            f09: text(9),
            f10: text(10),
            f11: text(11),
            f12: text(12),
            f13: text(13),
            f14: text(14),
            f15: text(15),
            f16: text(16),
            f17: text(17),
            f18: text(18),
            f19: text(19),
            f20: text(20),
            f21: text(21),
            f22: text(22),
            f23: text(23),
            f24: text(24),
            f25: text(25),
            f26: text(26),
            f27: text(27),
            f28: text(28),
            f29: text(29),
            f30: text(30),
            f31: text(31),
            f32: text(32),
            f33: text(33),
            f34: text(34),
            f35: text(35),
            f36: text(36),
            f37: text(37),
        }
    }
}

impl Made for Tagged<Vec<u64>> {
    fn made(id: u64, value: u32) -> Self {
        Tagged { id, tag: format!("tag {}", value % 3), payload: vec![value.into(); (value % 5) as usize] }
    }
}

impl Made for Tagged<String> {
    fn made(id: u64, value: u32) -> Self {
        Tagged { id, tag: format!("tag {}", value % 3), payload: format!("payload {value}") }
    }
}

impl Made for Keyed<String> {
    fn made(id: u64, value: u32) -> Self {
        Keyed { key: format!("key {id:03}"), value }
    }
}

/// Random puts, inserts and removals of one record type: what is found is what a map holds, and the store is in order.
fn conforms<S: Schema, R: Made + Member<S>>(store: &Store<S>, seed: u64) {
    let mut random = Random::new(seed);
    let mut expected: BTreeMap<Vec<u8>, R> = BTreeMap::new();
    for _ in 0..40 {
        let record = R::made(random.below(12), random.below(1_000) as u32);
        let key = record.key();
        let bytes = key.to_bytes();
        match random.below(4) {
            0 => {
                let removed = store.remove_record::<R>(key).expect("it is taken");
                assert_eq!(removed.existed(), expected.remove(&bytes).is_some());
            }
            1 if expected.contains_key(&bytes) => {
                let refused = store.insert_record(record).expect_err("it is there already");
                assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
            }
            _ => {
                let found = store.get_record::<R>(record.key()).expect("it reads");
                assert_eq!(found.as_ref(), expected.get(&bytes));
                let receipt = store.put_record(record.clone()).expect("it is taken");
                assert_eq!(receipt.existed(), expected.insert(bytes, record).is_some());
            }
        }
    }
    let found = store.query(R::all()).expect("it reads");
    assert_eq!(found, expected.into_values().collect::<Vec<_>>(), "seed {seed}");
}

fn memory<S: Schema>() -> Store<S> {
    Store::open("", StoreKind::Memory).expect("it opens")
}

#[test]
fn a_hundred_record_types_are_one_schema() {
    let (seed, _) = Random::from_environment();
    let store = memory::<Hundred>();
    all_of_the_hundred(&store, seed);
    store.verify().expect("records and indexes say the same");
}

#[test]
fn forty_fields_and_twelve_indexes_are_one_record() {
    let (seed, _) = Random::from_environment();
    let store = memory::<Wide>();
    conforms::<Wide, Wide>(&store, seed);
    store.verify().expect("records and indexes say the same");
    store.put_record(Wide::made(100, 40)).expect("it is taken");
    let found = |query| store.query(query).expect("it reads").into_iter().any(|wide: Wide| wide.second == 100);
    assert!(found(Wide::by_f01(40 % 3)) && found(Wide::by_pair((40 % 3, 40 % 4))));
    assert!(found(Wide::by_three(leading(40 % 5))) && found(Wide::by_text(("8 40", "9 40"))));
    assert!(found(Wide::by_mixed(("10 40", 40 % 3))) && found(Wide::by_key_first((0, 40 % 4))));
    assert!(found(Wide::by_f06("100 40 6")) && !found(Wide::by_f07("100 40 6")));
    assert!(found(Wide::prefix(0)));
}

#[test]
fn a_generic_record_is_a_record_with_each_of_its_arguments() {
    let (seed, _) = Random::from_environment();
    let store = memory::<Generic>();
    conforms::<Generic, Tagged<Vec<u64>>>(&store, seed);
    conforms::<Generic, Tagged<String>>(&store, seed);
    conforms::<Generic, Keyed<String>>(&store, seed);
    store.verify().expect("records and indexes say the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_a_schema_of_a_hundred() -> netabase::Result<()> {
    let cluster = Cluster::<Hundred>::start(3).await?;
    cluster.node(0).put_record(R00::made(1, 5)).await?;
    cluster.node(1).put_record(R99::made(1, 5)).await?;
    assert_eq!(cluster.node(2).linearizable().query(R99::by_group(5)).await?, [R99::made(1, 5)]);
    cluster.converged().await?;
    cluster.shutdown().await
}
