//! Faults on demand, for tests of Netabase and of applications that embed it.
//!
//! # Memory or sockets
//! A [`Cluster`] runs in memory unless it is told otherwise: a message is handed over whole, so it can be lost, doubled and
//! overtaken. [`Setup::over_sockets`] runs the same cluster over libp2p on loopback, as in production, with these faults:
//!
//! | | in memory | over sockets |
//! | --- | --- | --- |
//! | [`partition`](Cluster::partition), [`cut`](Cluster::cut) | what is sent meanwhile is lost | it waits in the stream, as in TCP, and comes through in order once healed; a connection that was silent for ten seconds or so, in one direction or both, is given up, and made anew once healed |
//! | [`refuse_in_partitions`](Cluster::refuse_in_partitions) | connections close | they are reset, and new ones refused |
//! | [`crash`](Cluster::crash), [`restart`](Cluster::restart) | the others see it leave, also across a partition | the same; it listens on another port, where the others find it by its id |
//! | [`delay_messages`](Cluster::delay_messages) | each message | each piece that is read of a stream |
//! | loss, doubles, overtaking | as asked | nothing: TCP does not let them happen |

#[cfg(feature = "paxos")]
mod check;
#[cfg(feature = "paxos")]
mod cluster;
mod disk;
#[cfg(feature = "native")]
#[cfg_attr(not(all(test, feature = "paxos")), allow(dead_code, reason = "tests of this crate use all of it"))]
mod fabric;
#[cfg(all(test, feature = "paxos"))]
pub(crate) mod fixture;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod hostile;
pub mod linearize;
mod random;
#[cfg(feature = "paxos")]
mod volume;

#[cfg(feature = "paxos")]
pub use cluster::{Cluster, Setup};
pub use disk::{ForgetfulDisk, Unsynced};
pub use random::Random;
#[cfg(any(all(test, feature = "paxos"), feature = "fuzzing"))]
pub(crate) use volume::Disks;

pub use crate::clock::skew_clock;
#[cfg(all(test, feature = "paxos"))]
pub(crate) use {
    disk::Fuse,
    fabric::{Fabric, Passing},
    volume::Mounted,
};
