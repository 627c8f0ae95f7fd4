//! Moves bounded bytes between the nodes of a cluster; knows nothing of what they mean.
//!
//! ```text
//! node -> Network::request ---> connection's handler ---> substream a channel ---> peer
//! node <- NetworkEvent <------- connection's handler <--- substream a channel <--- peer
//!                  ^- driver (swarm: listens, dials, refuses strangers)
//! ```
//! Whatever a peer sends: no panic, no unbounded memory, no other peer kept waiting.

mod address;
mod behaviour;
mod codec;
mod dialer;
mod directory;
mod driver;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod gate;
mod handle;
mod handler;
mod identity;
mod inbound;
mod inlet;
mod limits;
mod listen;
mod outlet;
mod protocol;
mod start;
mod substream;
mod swarm;

pub use identity::Identity;

pub(crate) use address::parse_peer_address;
pub(crate) use handle::{Network, RequestError};
pub(crate) use inbound::{Inbound, NetworkEvent, Reply};
pub(crate) use limits::NetworkLimits;
pub(crate) use protocol::Channel;
pub(crate) use start::{NetworkConfig, start};

/// For other transports of this crate: the in-memory fabric.
#[cfg(any(test, feature = "testing"))]
pub(crate) use {
    handle::{RequestResult, Transport},
    inbound::{Answer, Door, ReplyPath},
    limits::EVENT_QUEUE_MAX,
};

#[cfg(test)]
mod tests;
