//! Types of one's own in keys and indexes.
#![deny(warnings, missing_docs)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// How far it is. Sorted as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseKey)]
pub enum Status {
    /// Not paid.
    Open,
    /// Not sent.
    Paid,
    /// Done.
    Closed,
}

/// With numbers, and an order of its own that agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, NetabaseKey)]
#[repr(u8)]
pub enum Priority {
    /// Can wait.
    Low = 10,
    /// Cannot.
    High = 20,
}

/// Whose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseKey)]
pub struct CustomerId(pub u64);

/// Called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseKey)]
pub struct Name(String);

/// With a name for its field, and one in another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseKey)]
pub struct Address {
    name: Name,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(name = "by_status_time", fields(status, time)))]
pub struct Order {
    /// Whose.
    #[netabase(key)]
    pub customer: CustomerId,
    /// How far.
    #[netabase(key, index)]
    pub status: Status,
    /// Which.
    #[netabase(key)]
    pub number: u32,
    /// When.
    pub time: u64,
    /// Perhaps.
    #[netabase(index)]
    pub priority: Option<Priority>,
    /// Unique.
    #[netabase(unique)]
    pub name: Name,
    /// Where.
    #[netabase(index)]
    pub address: Address,
    /// Both.
    #[netabase(index)]
    pub pair: (Status, Option<CustomerId>),
}

/// By one alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub struct Customer {
    /// The key.
    #[netabase(key)]
    pub id: CustomerId,
}

fn key<R: netabase::Record>(key: impl netabase::IntoKey<R::Key>) -> R::Key {
    key.into_key()
}

fn main() {
    let name = Name("x".into());
    let _ = [Order::by_status(Status::Open), Order::by_status(&Status::Open), Order::by_status(Status::Open..)];
    let _ = [Order::by_status(Status::Open..=Status::Paid), Order::by_status(..Status::Closed), Order::by_status(..)];
    let _ = [Order::by_priority(Priority::Low), Order::by_priority(Priority::Low..)];
    let _ = [Order::by_name(&name), Order::by_name(name.clone()), Order::by_name(starts_with("x"))];
    let _ = [Order::by_address(Address { name: name.clone() }), Order::by_address(starts_with("x"))];
    let _ = [Order::by_pair((Status::Open, Some(CustomerId(7)))), Order::by_pair((Status::Open, None::<CustomerId>))];
    let _ = [Order::by_status_time((Status::Open, 7)), Order::by_status_time(leading(Status::Open))];
    let _ = [Order::prefix(CustomerId(7)), Order::prefix((CustomerId(7), Status::Open)), Order::prefix(&CustomerId(7))];
    let _ = [Order::range((CustomerId(7), Status::Open, 1)..)];
    let _ = [Customer::range(CustomerId(7)..CustomerId(9)), Customer::all().after(&CustomerId(7))];

    assert_eq!(key::<Customer>(CustomerId(7)), CustomerKey(CustomerId(7)));
    assert_eq!(key::<Customer>(&CustomerId(7)).to_string(), "7");
    let order = key::<Order>((CustomerId(7), Status::Paid, 1));
    assert_eq!(order.to_string(), "7/Paid/1");
    assert_eq!(format!("{order:?}"), "OrderKey { customer: CustomerId(7), status: Paid, number: 1 }");
    assert!(order.clone() < key::<Order>((CustomerId(7), Status::Closed, 0)));
    assert!(Priority::Low < Priority::High && OrderByPriorityKey(Priority::Low) < OrderByPriorityKey(Priority::High));
}
