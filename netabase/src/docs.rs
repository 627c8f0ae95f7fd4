//! How Netabase works, for whoever must understand it.

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}

#[doc = include_str!("../docs/format.md")]
pub mod format {}

#[doc = include_str!("../docs/glossary.md")]
pub mod glossary {}
