//! What one peer that is let in may do, shared by all its connections: on which channels it is heard, how much of it may be
//! under way, how fast it may send.
//!
//! What must hold: what a change of the members allows or forbids applies to connections that are there already.

use std::{
    array,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::{
    bucket::Bucket,
    directory::PerChannel,
    gate::Gate,
    limits::{
        CONNECTIONS_ANEW_PER_SECOND, NetworkLimits, OFFENCES_BURST, OFFENCES_PER_SECOND, STREAMS_ANEW_PER_SECOND,
        UNANSWERED_BYTES_MAX, UNANSWERED_MAX,
    },
    protocol::Channel,
};

/// On which channels a peer is heard, and whether it may send as fast as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// A node: on all of them, as fast as it likes.
    #[default]
    Node,
    /// On all of them, slowly: who was a node, and has to hear that it is none.
    Former,
    /// On one of them, slowly.
    Only(Channel),
}

#[derive(Debug)]
pub(super) struct Allowance {
    access: Mutex<Access>,
    pub(super) gates: PerChannel<Arc<Gate>>,
    requests: Mutex<Bucket>,
    connections: Mutex<Bucket>,
    streams: Mutex<Bucket>,
    offences: Mutex<Bucket>,
}

impl Allowance {
    pub(super) fn new(limits: &NetworkLimits, access: Access, now: Instant) -> Arc<Self> {
        let rate = limits.requests_per_second_max;
        let bytes_max = |channel| match channel {
            Channel::Client => limits.bytes_in_flight_max,
            _ => UNANSWERED_BYTES_MAX,
        };
        Arc::new(Allowance {
            access: Mutex::new(access),
            gates: array::from_fn(|channel| Gate::new(UNANSWERED_MAX, bytes_max(Channel::ALL[channel]))),
            requests: Mutex::new(Bucket::new(rate, rate, now)),
            connections: Mutex::new(Bucket::new(
                limits.connections_per_peer_max.saturating_mul(2),
                CONNECTIONS_ANEW_PER_SECOND,
                now,
            )),
            streams: Mutex::new(Bucket::new(limits.streams_max, STREAMS_ANEW_PER_SECOND, now)),
            offences: Mutex::new(Bucket::new(OFFENCES_BURST, OFFENCES_PER_SECOND, now)),
        })
    }

    pub(super) fn set_access(&self, access: Access) {
        *locked(&self.access) = access;
    }

    pub(super) fn is_node(&self) -> bool {
        *locked(&self.access) == Access::Node
    }

    pub(super) fn may_speak_on(&self, channel: Channel) -> bool {
        match *locked(&self.access) {
            Access::Node | Access::Former => true,
            Access::Only(only) => only == channel,
        }
    }

    /// Whether another request may be taken now, or when it may.
    pub(super) fn take_request(&self, now: Instant) -> Result<(), Instant> {
        if let Some(due) = locked(&self.offences).due(now) {
            return Err(due);
        }
        if self.is_node() { Ok(()) } else { locked(&self.requests).take(now) }
    }

    /// A message of it was of no use.
    pub(super) fn note_offence(&self, now: Instant) {
        locked(&self.offences).owe(now);
    }

    /// Whether it may connect once more: a node always, since that is how it comes back.
    pub(super) fn take_connection(&self, now: Instant) -> bool {
        self.is_node() || locked(&self.connections).take(now).is_ok()
    }

    /// Whether another stream may be opened.
    pub(super) fn take_stream(&self, now: Instant) -> bool {
        locked(&self.streams).take(now).is_ok()
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
