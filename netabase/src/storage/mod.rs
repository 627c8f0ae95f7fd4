//! The store: ordered rows on an engine, with what is applied but not yet flushed laid over them.
//!
//! ```text
//! machine --draft, install--> [ active overlay ] --begin_flush--> [ flushing overlay ] --Flush::run--> engine
//! readers <------- View ----- [ active | flushing | base snapshot ]            (one immutable value, shared)
//! ```
//! One writer, the machine. Readers take the newest [`View`] from [`Views`] on any thread and wait for nobody.

pub(crate) mod archive;
mod branch;
mod change;
mod changes;
mod compact;
mod engine;
mod fence;
mod flush;
mod kind;
pub(crate) mod layout;
mod memory;
mod patient;
mod redb;
mod scan;
mod select;
#[cfg(feature = "sled")]
mod sled;
mod store;
mod sum;
mod view;

#[cfg(test)]
mod conformance;

pub(crate) use branch::Branch;
pub(crate) use change::{Change, Place};
pub(crate) use changes::Changes;
pub(crate) use compact::{Compacting, InUse, Limits as CompactLimits, Site};
pub(crate) use engine::{Engine, StoreError};
#[cfg(test)]
pub(crate) use engine::{Rows as EngineRows, Snapshot};
pub(crate) use flush::{Flush, FlushDone, Retired};
pub use kind::StoreKind;
pub(crate) use memory::MemoryEngine;
pub(crate) use patient::{Open, Patience, PatientFile};
pub(crate) use redb::{CACHE_BYTES, RedbEngine, file_backend, open_database};
#[cfg(test)]
pub(crate) use scan::Scan;
#[cfg(test)]
pub(crate) use select::PAGE_HIDDEN;
pub(crate) use select::{PAGE_BYTES, PAGE_ROWS, Pages, Row, RowBounds, Selecting, as_slice};
#[cfg(feature = "sled")]
pub(crate) use sled::SledEngine;
pub(crate) use store::{Draft, Store, WriteSet};
pub(crate) use sum::Sum;
pub(crate) use view::{Rows, View, Views};
