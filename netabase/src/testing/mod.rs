//! Faults on demand, for tests of Netabase and of applications that embed it.

#[cfg(feature = "paxos")]
mod cluster;
mod disk;
#[cfg(feature = "native")]
#[cfg_attr(not(feature = "paxos"), allow(dead_code, reason = "clusters use it"))]
mod fabric;
#[cfg(all(test, feature = "paxos"))]
pub(crate) mod fixture;
mod random;
#[cfg(feature = "paxos")]
mod volume;

#[cfg(feature = "paxos")]
pub use cluster::Cluster;
pub use disk::{ForgetfulDisk, Unsynced};
#[cfg(feature = "paxos")]
pub(crate) use fabric::Fabric;
#[cfg(all(test, feature = "paxos"))]
pub(crate) use {fabric::Passing, volume::Disks};
