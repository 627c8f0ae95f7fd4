//! What is said of parameters is said of a generated key as far as it names them, and what they lead to can be a field.
#![deny(warnings)]

use std::fmt::Debug;

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

pub trait Kind {
    type Id;
    type Out;
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Order;

impl Kind for Order {
    type Id = u32;
    type Out = f64;
}

mod types {
    pub type T = u64;
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Bounded<A, B: Into<A>> {
    #[netabase(key)]
    pub id: B,
    pub value: A,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Clause<A, B>
where
    B: Into<A>,
    A: Debug,
{
    #[netabase(key)]
    pub id: u8,
    #[netabase(index)]
    pub of: Option<B>,
    #[netabase(index(name = "by_other"))]
    pub other: A,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Composite<K>
where
    K: Kind,
{
    #[netabase(key)]
    pub a: K::Id,
    #[netabase(key)]
    pub b: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Inline<K: Kind> {
    #[netabase(key)]
    pub a: K::Id,
    #[netabase(key)]
    pub b: u64,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Single<K: Kind> {
    #[netabase(key)]
    pub id: K::Id,
    #[netabase(unique)]
    pub other: K::Id,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Value<K: Kind> {
    #[netabase(key)]
    pub id: u64,
    pub out: K::Out,
    #[serde(skip)]
    pub cached: Option<K::Out>,
}

#[derive(Serialize, Deserialize, NetabaseSchema)]
#[serde(bound(serialize = "<K as Kind>::Out: Serialize", deserialize = "<K as Kind>::Out: Deserialize<'de>"))]
pub struct Qualified<K: Kind> {
    #[netabase(key)]
    pub id: u64,
    pub out: <K as Kind>::Out,
}

impl<K: Kind<Out: Clone>> Clone for Qualified<K> {
    fn clone(&self) -> Self {
        Qualified { id: self.id, out: self.out.clone() }
    }
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
pub struct Elsewhere<T> {
    #[netabase(key)]
    pub id: types::T,
    pub value: T,
}

#[derive(NetabaseSchema)]
pub enum All {
    Bounded(Bounded<u64, u32>),
    Clause(Clause<u64, u32>),
    Composite(Composite<Order>),
    Inline(Inline<Order>),
    Single(Single<Order>),
    Value(Value<Order>),
    Qualified(Qualified<Order>),
    Elsewhere(Elsewhere<f64>),
}

fn main() {
    let _ = (Bounded::<u64, u32>::range(1..), Clause::<u64, u32>::by_of(1), Clause::<u64, u32>::by_other(1));
    let _ = (Composite::<Order>::prefix(1), Inline::<Order>::range((1, 2)..), Single::<Order>::by_other(7));
    let _ = (Value::<Order>::range(1..), Elsewhere::<f64>::range(1..));
    assert_eq!(Single::<Order> { id: 7, other: 1 }.key(), SingleKey(7));
    assert_eq!(Composite::<Order> { a: 7, b: 1 }.key(), CompositeKey::from((7, 1)));
}
