//! Watches: who is told of which change, from where on, without a gap. Beside them, a board for news of the node itself.
//!
//! ```text
//! change table ──▶ Hub (one thread while anybody watches) ──▶ Interests ──▶ Inbox, bounded ─┐
//!      └──────────▶ Watcher, while it is behind ────────────────────────────────────────────┴─▶ the handle
//! ```
//! What must hold: whatever a filter matches is yielded once, in the order of its place, or the watcher is told that it
//! missed some; who is slow reads the table by itself and slows neither the writers nor the others; nothing here holds
//! a view longer than it takes to read a page of it. Used by the node, which ends it, and by the handle.

mod board;
mod current;
mod filter;
mod hub;
mod inbox;
mod interest;
mod watcher;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub(crate) use self::board::{Board, Read, Reader};
pub(crate) use self::hub::Hub;
pub(crate) use self::watcher::{Start, Watcher};

use std::sync::Arc;

use crate::storage::{Change, Place};

/// How much of the change table is read at once.
const PAGE_BYTES: usize = 64 << 10;

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Behind which place a watcher goes on that has seen this.
    pub(crate) place: Place,
    /// The round of the write.
    pub(crate) round: u64,
    pub(crate) change: Arc<Change>,
}

impl Event {
    fn of(place: Place, change: Arc<Change>) -> Event {
        Event { place, round: place.round, change }
    }
}
