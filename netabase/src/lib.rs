//! Netabase: a typed, persistent, replicated record store from one derive.

mod error;
#[cfg(feature = "native")]
#[allow(dead_code)] // until `consensus` and `node` use it
mod network;
#[cfg(any(all(test, feature = "native"), feature = "testing"))]
#[allow(dead_code)] // until `Cluster` uses it
mod testing;

pub use error::{Error, Result};
#[cfg(feature = "native")]
pub use network::Identity;
