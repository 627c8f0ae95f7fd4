//! Faults on demand, for tests of Netabase and of applications that embed it.

mod disk;
#[cfg(feature = "native")]
#[cfg_attr(not(feature = "paxos"), allow(dead_code, reason = "clusters use it"))]
pub(crate) mod fabric;
mod random;

pub use disk::{ForgetfulDisk, Unsynced};
#[cfg(feature = "native")]
pub(crate) use fabric::Fabric;
