//! A blake3 hash of a shape: what peers and directories compare.

use std::fmt;

use serde::{Deserialize, Serialize};

/// 32 bytes of blake3; shown in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Fingerprint(pub(crate) [u8; 32]);

impl Fingerprint {
    /// Of canonical bytes under a purpose, which keeps hashes of different things apart.
    pub(crate) fn of(purpose: &str, bytes: &[u8]) -> Fingerprint {
        Fingerprint(blake3::derive_key(purpose, bytes))
    }

    /// The first digits: enough to tell two apart in a message.
    pub(crate) fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
