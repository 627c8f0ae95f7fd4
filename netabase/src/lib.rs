//! Netabase: a typed, persistent, replicated record store from one derive.

#[cfg(test)]
extern crate self as netabase;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
#[cfg_attr(
    not(feature = "paxos"),
    allow(dead_code, unused_imports, reason = "consensus and the handle use it")
)]
mod command;
mod error;
#[cfg_attr(
    not(feature = "paxos"),
    allow(dead_code, unused_imports, reason = "consensus and the handle use it")
)]
mod machine;
#[cfg_attr(
    not(feature = "paxos"),
    allow(
        dead_code,
        unused_imports,
        reason = "the store and the network use the rest"
    )
)]
mod schema;
#[cfg_attr(
    not(feature = "paxos"),
    allow(dead_code, unused_imports, reason = "consensus and the handle use it")
)]
mod store;

pub use error::{Error, Result};
pub use netabase_macros::NetabaseSchema;
pub use schema::{
    Agreed, IntoKey, IntoPrefix, IntoRange, IntoSelection, Key, KeyError, Member, Query, Record,
    Schema, StartsWith, starts_with,
};

/// What most programs need: `use netabase::prelude::*;`.
pub mod prelude {
    pub use crate::schema::{Record as _, Schema as _};
    pub use crate::{Error, NetabaseSchema, Query, starts_with};
}
