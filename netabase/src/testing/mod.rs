//! Faults on demand, for tests of Netabase and of applications that embed it.

mod disk;
mod random;

pub use disk::{ForgetfulDisk, Unsynced};
