//! Moves bounded bytes between the nodes of a cluster; knows nothing of what they mean.
//!
//! ```text
//! node -> Network::request ---> connection's handler ---> substream a channel ---> peer
//! node <- NetworkEvent <------- connection's handler <--- substream a channel <--- peer
//!                  ^- driver (swarm: listens, dials, refuses strangers)
//! ```
//! Whatever a peer sends: no panic, no unbounded memory, no other peer kept waiting.

mod address;
mod allowance;
mod behaviour;
mod bucket;
mod codec;
mod dialer;
mod directory;
mod driver;
#[cfg(any(test, feature = "testing"))]
mod faults;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod gate;
mod handle;
mod handler;
mod identity;
mod inbound;
mod inlet;
mod limits;
#[cfg(any(test, feature = "testing"))]
mod links;
mod listen;
mod outlet;
mod protocol;
mod refused;
mod start;
mod strangers;
mod substream;
mod swarm;

pub use identity::Identity;
pub use limits::NetworkLimits;
pub use refused::Refused;

pub(crate) use address::parse_peer_address;
pub(crate) use allowance::Access;
pub(crate) use directory::Guests;
pub(crate) use handle::{Network, RequestError};
pub(crate) use inbound::{Inbound, NetworkEvent, Reply};
pub(crate) use protocol::Channel;
pub(crate) use refused::Reason;
pub(crate) use start::{NetworkConfig, Sockets, start};

/// For tests: faults on sockets, and what another transport, the in-memory fabric, needs.
#[cfg(any(test, feature = "testing"))]
pub(crate) use {
    directory::Members,
    faults::{Faults, Separation},
    handle::{RequestResult, Transport},
    inbound::{Answer, Door, ReplyPath},
    limits::EVENT_QUEUE_MAX,
    links::Links,
    refused::Refusals,
};

#[cfg(test)]
mod tests;
