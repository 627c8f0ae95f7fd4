//! Generic records: what a record needs is asked of the parameters.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub struct Tagged<T> {
    #[netabase(key)]
    pub id: u64,
    #[netabase(index)]
    pub tag: String,
    pub value: T,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(name = "of")]
pub struct Of<K, V = u8>
where
    V: std::fmt::Debug,
{
    #[netabase(key)]
    pub id: K,
    #[netabase(index)]
    pub other: Option<K>,
    pub value: V,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub struct Bytes<const N: usize> {
    #[netabase(key)]
    pub id: u8,
    #[netabase(index)]
    pub text: Vec<u8>,
}

/// Generic records have one stored name each, so their variants need one.
#[derive(NetabaseSchema)]
pub enum Both {
    #[netabase(name = "numbers")]
    Numbers(Tagged<u64>),
    #[netabase(name = "texts")]
    Texts(Tagged<String>),
    Of(Of<String>),
}

fn schema<S: netabase::Schema>() {}

fn in_general<T>(id: u64, value: T) -> TaggedKey
where
    Tagged<T>: netabase::Record<Key = TaggedKey>,
{
    Tagged { id, tag: String::new(), value }.key()
}

fn main() {
    schema::<Both>();
    schema::<Tagged<Vec<u8>>>();
    let _ = Tagged::<u64>::range(1..2);
    let _ = Tagged::<u64>::by_tag("x");
    let _ = Of::<String>::range("a".to_owned().."b".to_owned());
    let _ = Of::<u32>::by_other(7);
    let _ = Bytes::<4>::by_text(b"x");
    assert_eq!(in_general(1, "x".to_owned()), TaggedKey(1));
    assert_eq!(Of { id: 7u8, other: None, value: 1u8 }.key(), OfKey(7));
    let _ = Both::from(Tagged { id: 1, tag: String::new(), value: 2u64 });
}
