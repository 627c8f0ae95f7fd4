//! The replicated state machine: the same entries in the same order give the same state on every node.
//!
//! ```text
//! Entry --decode--> Command --sessions: once?--> rule: reader + write -> write set + outcome --> draft --> view
//! ```
//! `apply` is total: a refusal is an outcome, never an error. It errs only if this node's engine cannot read.
//! Called by the one task that owns it; readers use `Views`.

mod hash;
#[expect(clippy::module_inception, reason = "the machine itself, by its noun")]
mod machine;
mod rule;
mod sessions;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod replay;

pub(crate) use hash::{State, StateHash};
pub(crate) use machine::{Answer, Flush, FlushDone, Machine};
pub(crate) use sessions::{OUTSTANDING_MAX, Reply, SESSIONS_MAX};
