//! Values of any form that serde knows.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
enum Shape {
    Circle(f64),
    Square { side: f64 },
    Nothing,
}

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Picture {
    #[netabase(key)]
    id: u64,
    shapes: Vec<Shape>,
    names: std::collections::BTreeMap<String, (u8, Option<Box<Shape>>)>,
}

fn main() {
    let shapes = vec![Shape::Circle(1.0), Shape::Square { side: 2.0 }, Shape::Nothing];
    let _ = Picture { id: 1, shapes, names: Default::default() }.key();
}
