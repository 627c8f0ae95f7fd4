//! What was refused, by reason: counted where it happens, read by whoever operates the node.

use std::sync::atomic::{AtomicU64, Ordering};

/// What this node refused since it started, by reason. Only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Connections of peers that are not of this cluster, right after the handshake that said who they are.
    pub strangers: u64,
    /// Connections from an address of which too many strangers come, before any handshake.
    pub barred: u64,
    /// Connections beyond what one peer, or all that are no nodes, may have, those of who connects over and over, and those
    /// that come while too many shake hands.
    pub connections: u64,
    /// Connections closed because their peer opened streams over and over. Where it has too many at a time, the multiplexer
    /// closes the connection by itself, which is not counted.
    pub streams: u64,
    /// Connections closed because a message was announced that is larger than may be.
    pub too_large: u64,
    /// Requests that had to wait, or were refused, because their sender sends too many.
    pub too_fast: u64,
    /// Messages that nobody can read; where that breaks the framing, the connection was closed.
    pub malformed: u64,
    /// Messages of another cluster, epoch or life of a directory. A few are usual when the members change.
    pub foreign: u64,
    /// Connections closed because a client, or who holds an invite, spoke as only members may.
    pub not_allowed: u64,
    /// Connections closed because their peer did not read its answers.
    pub slow_readers: u64,
}

/// Why something was refused; see the fields of [`Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Stranger,
    Barred,
    Connections,
    Streams,
    TooLarge,
    TooFast,
    Malformed,
    Foreign,
    NotAllowed,
    SlowReader,
}

const REASONS: usize = Reason::SlowReader as usize + 1;

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; REASONS]);

impl Refusals {
    /// Returns how many there were for this reason, this one included.
    pub(crate) fn count(&self, reason: Reason) -> u64 {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn all(&self) -> Refused {
        Refused {
            strangers: self.of(Reason::Stranger),
            barred: self.of(Reason::Barred),
            connections: self.of(Reason::Connections),
            streams: self.of(Reason::Streams),
            too_large: self.of(Reason::TooLarge),
            too_fast: self.of(Reason::TooFast),
            malformed: self.of(Reason::Malformed),
            foreign: self.of(Reason::Foreign),
            not_allowed: self.of(Reason::NotAllowed),
            slow_readers: self.of(Reason::SlowReader),
        }
    }
}
