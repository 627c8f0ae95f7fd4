//! Netabase: a typed, persistent, replicated record store from one derive.

mod error;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::{Error, Result};
