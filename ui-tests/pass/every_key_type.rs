//! Every type that a key or an index can be made of, and what it is found by.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

type Name = String;

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Everything {
    #[netabase(key)]
    name: Name,
    #[netabase(key)]
    pair: (u16, Option<bool>),
    #[netabase(index)]
    a: u8,
    #[netabase(index)]
    b: i128,
    #[netabase(index)]
    c: char,
    #[netabase(index)]
    d: [u8; 16],
    #[netabase(index)]
    e: Vec<u8>,
    #[netabase(unique)]
    f: Option<String>,
    #[netabase(index)]
    g: (String, u8),
    #[netabase(index)]
    h: Option<(u8, Option<i8>)>,
    #[netabase(index)]
    i: bool,
    #[netabase(index)]
    j: Name,
}

/// Longer than the arrays that serde knows, and a key all the same.
#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Long {
    #[netabase(key)]
    #[serde(with = "long")]
    id: [u8; 64],
}

mod long {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        bytes.to_vec().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        Vec::deserialize(deserializer)?.try_into().map_err(|_| serde::de::Error::custom("64 bytes"))
    }
}

fn main() {
    let _ = Everything::prefix("a");
    let _ = Everything::prefix(("a", (1, None::<bool>)));
    let _ = Everything::range(("a", (1, Some(true)))..);
    let _ = [Everything::by_a(1), Everything::by_a(..9), Everything::by_b(-1), Everything::by_c('x')];
    let _ = [Everything::by_d([0; 16]), Everything::by_e(vec![1]), Everything::by_e(&[1u8, 2][..])];
    let _ = [Everything::by_e(b"bytes"), Everything::by_e(starts_after(b"x"))];
    let _ = [Everything::by_f("x"), Everything::by_f(starts_with("x")), Everything::by_f("a".."b")];
    let _ = [Everything::by_g(("x", 1)), Everything::by_g(("x", 1)..=("y", 2)), Everything::by_h((1, Some(1)))];
    let _ = [Everything::by_i(true), Everything::by_j("x"), Everything::by_j(starts_with("x"))];
    let _ = Long::range([0; 64]..[1; 64]);
    assert!(LongKey([0; 64]) < LongKey([1; 64]));
    assert_eq!(LongKey([10; 64]).to_string(), "0a".repeat(64));
}

fn starts_after(bytes: &[u8; 1]) -> std::ops::RangeFrom<EverythingByEKey> {
    EverythingByEKey(bytes.to_vec())..
}
