//! Records whose fields have no names.
#![deny(warnings, missing_docs)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// A point with a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
#[netabase(index(name = "by_label_number", fields(1, 0)))]
pub struct Point(
    /// The key.
    #[netabase(key)]
    pub u64,
    /// Called.
    #[netabase(index(name = "by_label"))]
    pub String,
    /// Perhaps.
    #[netabase(unique(name = "by_number"))]
    pub Option<u32>,
);

/// With several key fields, not the first ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub struct Link(f64, #[netabase(key)] u64, Vec<u8>, #[netabase(key)] String);

/// Only a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub struct Only(#[netabase(key)] String);

/// Generic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub struct Pair<A, B>(#[netabase(key)] A, B);

/// All of them.
#[derive(NetabaseSchema)]
pub enum Map {
    /// Points.
    Point(Point),
    /// Links.
    Link(Link),
    /// Names.
    Only(Only),
}

fn main() {
    let point = Point(7, "x".into(), None);
    assert_eq!(point.key(), PointKey(7));
    let _ = [Point::range(1..9), Point::by_label("x"), Point::by_label(starts_with("x")), Point::by_number(1)];
    let _ = [Point::by_label_number(("x", 7)), Point::by_label_number(leading("x"))];
    assert_eq!(PointByLabelNumberKey::from(("x", 7)), PointByLabelNumberKey("x".into(), 7));

    let link = Link(0.5, 1, vec![], "y".into());
    assert_eq!(link.key(), LinkKey(1, "y".into()));
    assert_eq!(format!("{:?} {}", link.key(), link.key()), r#"LinkKey(1, "y") 1/y"#);
    let _ = [Link::prefix(1), Link::range((1, "a")..(2, "b"))];
    let _ = (Only::range("a".."b"), Pair::<u8, bool>::range(1..2), Pair(1u8, true).key());
    let _ = (Map::from(point), MapKey::Link(link.key()));
}
