//! Netabase: a typed, persistent, replicated record store from one derive.

#[cfg_attr(not(feature = "paxos"), allow(dead_code, unused_imports))]
mod command;
mod error;
#[cfg_attr(not(feature = "paxos"), allow(dead_code, unused_imports))]
mod machine;
#[allow(dead_code)]
mod schema;
#[cfg_attr(not(feature = "paxos"), allow(dead_code, unused_imports))]
mod store;

pub use error::{Error, Result};
