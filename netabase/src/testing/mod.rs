//! Faults on demand, for tests of Netabase and of applications that embed it.

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
pub use cluster::Cluster;
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
