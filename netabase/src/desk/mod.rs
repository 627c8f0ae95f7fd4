//! The desk: where a member serves handles that hold no data.
//!
//! ```text
//! client ─▶ network ─▶ Desk (a thread of its own) ─┬─▶ views, hub: reads, watches
//!                                                  ├─▶ leases: what is read as of one moment, transactions
//!                                                  └─▶ relay, read queue: through the member, as this node's own
//! ```
//! Must hold: whatever a client sends, nothing here panics, grows without bound or holds up the consensus; who has no right
//! here is told nothing; what is answered is at least as new as what the client has seen. Watches and writes leave no state
//! behind between two requests, so a client goes on at any other member. Run by the node, which stops it first.

mod lease;
pub(crate) mod message;
mod read;
mod right;
mod serve;
mod submit;
#[cfg(test)]
mod tests;
mod transact;
mod watch;

pub(crate) use self::right::Right;
pub(crate) use self::serve::{Desk, Parts};
pub(crate) use self::submit::UNDER_WAY_MAX;

/// The most bytes of rows or changes in one answer, of which the last may be larger than all before.
pub(crate) const PAGE_BYTES: usize = crate::storage::PAGE_BYTES;
/// The greatest frame of channel `Client`, given the greatest record: what is the most, a change of it with both its values
/// behind other changes, or commands of which the last is a whole entry.
pub(crate) const fn frame_bytes_max(record_bytes_max: usize) -> usize {
    const HEADS_BYTES: usize = 1 << 20;
    2 * crate::command::entry_bytes_max(record_bytes_max) + PAGE_BYTES + HEADS_BYTES
}

/// Leases of one client.
pub(crate) const LEASES_MAX: usize = 64;
/// Requests of one client that wait for their answer. The network has the same bound.
pub(crate) const REQUESTS_MAX: usize = 512;
