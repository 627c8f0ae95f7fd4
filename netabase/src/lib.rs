//! Netabase: a typed, persistent, replicated record store from one derive.

mod error;

pub use error::{Error, Result};
