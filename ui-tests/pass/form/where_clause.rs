//! Bounds of one's own.
#![deny(warnings)]

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
struct Tagged<T: std::fmt::Debug, const N: usize>
where
    T: PartialEq,
{
    #[netabase(key)]
    id: T,
    #[netabase(index)]
    tag: Option<T>,
}

fn main() {
    let _ = Tagged::<u8, 4>::by_tag(7);
    let _ = Tagged::<String, 4> { id: String::new(), tag: None }.key();
}
