//! What the fuzz targets in `fuzz/` run, and a test over their corpus. Not part of the interface: behind a feature of its
//! own, hidden, changed at any time.
//!
//! ```text
//! bytes of the fuzzer, or of a file of the corpus ──▶ target ──▶ the code under test ──▶ assertions
//! ```
//! Must hold: a target is a function of its bytes alone (no clock, no randomness, no threads that outlive it), and ends in
//! a panic exactly if something is wrong. What is protected by a hash or a signature gets a right one here, so that what is
//! behind it is reached. Where a name is private to its module, that module has a file `fuzz.rs`.

mod archive;
mod chunks;
mod disk_bytes;
mod input;
mod invite;
mod keys;
mod operations;
mod oracle;
mod peer_bytes;
mod sample;
mod seeds;

pub use self::archive::archive;
pub use self::chunks::chunks;
pub use self::disk_bytes::disk_bytes;
pub use self::invite::invite;
pub use self::keys::keys;
pub use self::operations::operations;
pub use self::peer_bytes::peer_bytes;
pub use self::seeds::{Seed, seeds};

/// A target: it panics if something is wrong.
pub type Target = fn(&[u8]);

/// Every target, by the name of its file in `fuzz/fuzz_targets` and of its folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive", archive),
    ("chunks", chunks),
    ("disk_bytes", disk_bytes),
    ("invite", invite),
    ("keys", keys),
    ("operations", operations),
    ("peer_bytes", peer_bytes),
];
