//! The closed set of things that a cluster can agree on, and their bytes.
//!
//! ```text
//! handle --Command--> [EncodedCommand] --BatchBuilder--> body --EntryIds--> Entry --consensus--> machine
//! ```
//! A command is encoded once, by whoever issues it; a leader gathers the bytes, its own and forwarded ones,
//! into a body without encoding them again.

mod batch;
#[expect(clippy::module_inception, reason = "the command itself, by its noun")]
mod command;
mod encoded;
mod entry;
mod outcome;
mod reform;
mod transaction;

pub(crate) use batch::{BATCH_BYTES, COMMANDS_MAX};
pub(crate) use batch::{Batch, BatchBuilder, body_bytes_alone, entry_bytes_max};
pub(crate) use command::{Action, Command, SessionId, Write};
pub(crate) use encoded::EncodedCommand;
pub(crate) use entry::{Entry, EntryId, EntryIds};
pub(crate) use outcome::{Applied, Outcome, ReformRefusal, Refusal, short_reason};
pub(crate) use reform::{
    ADDRESS_BYTES_MAX, ADDRESSES_MAX, InviteHash, Life, MemberId, MemberRole, Reform, Seal, VOTERS_MAX,
};
pub(crate) use transaction::{Digest, HIDDEN_ROWS_MAX, RANGE_ROWS_MAX, RangeRead, Read, RequestId, Transaction};
