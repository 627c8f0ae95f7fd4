//! The replicated state machine: the same entries in the same order give the same state on every node.
//!
//! ```text
//! Entry --decode--> Command --sessions: once?--> rule: reader + write -> write set + outcome --> draft --> view
//! ```
//! `apply` is total: a refusal is an outcome, never an error. It errs only if this node's engine cannot read.
//! Called by the one task that owns it; readers use `Views`.

mod convert;
mod expire;
mod footprint;
mod hash;
#[expect(clippy::module_inception, reason = "the machine itself, by its noun")]
mod machine;
mod requests;
mod roster;
mod rule;
mod schema;
mod sessions;
mod trial;
mod upgrade;
mod verify;
mod versions;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod replay;

pub(crate) use expire::{CLOCK_AHEAD_MS, Step, expire};
#[cfg(test)]
pub(crate) use hash::StateHash;
#[cfg(feature = "fuzzing")]
pub(crate) use machine::Flush;
pub(crate) use machine::{Answer, DueUpgrade, FlushDone, Machine};
pub(crate) use roster::{Roster, Voter};
pub(crate) use rule::Rule;
pub(crate) use schema::{Keeper, adopt};
pub(crate) use sessions::Reply;
pub(crate) use trial::{Refused, Trial};
pub(crate) use upgrade::{due_alone, upgrade_alone};
pub use verify::Verified;
pub(crate) use verify::verify;
pub(crate) use versions::Versions;

/// The form in which a state leaves a node and comes to one: see `storage::archive`.
pub(crate) use crate::storage::archive::{ArchiveId as SnapshotId, CHUNK_BYTES, DurableState, ROUND_MAX};
pub(crate) use crate::storage::{Retired, Sum};
