//! What is proposed for a round: an id of its own and a body, encoded once.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock;

/// Names one entry among all that were ever proposed: 8 bytes of Unix nanoseconds, big-endian, and 16 of
/// blake3 over who proposed it, its count there, and its body. Unique by the hash alone; the time is for
/// people who read logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct EntryId([u8; 24]);

impl EntryId {
    pub(crate) fn as_bytes(&self) -> &[u8; 24] {
        &self.0
    }

    pub(crate) fn from_bytes(bytes: [u8; 24]) -> Self {
        EntryId(bytes)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[8..14].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One entry of the log. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// A batch, as `BatchBuilder` made it.
    pub(crate) body: Bytes,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:?}, {} bytes)", self.id, self.body.len())
    }
}

/// Makes the ids of one proposer.
#[derive(Debug)]
pub(crate) struct EntryIds {
    nonce: [u8; 16],
    count: u64,
}

impl EntryIds {
    /// `nonce` is random, anew at each start of the process: with it, ids differ from those of every other
    /// proposer and of earlier starts, whatever the clock says.
    pub(crate) fn new(nonce: [u8; 16]) -> Self {
        EntryIds { nonce, count: 0 }
    }

    /// An id that was never given before.
    pub(crate) fn next(&mut self, body: &[u8]) -> EntryId {
        self.next_at(clock::now(), body)
    }

    fn next_at(&mut self, now: SystemTime, body: &[u8]) -> EntryId {
        // A clock before 1970 or after 2554 is only shown wrong.
        let nanos = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.nonce).update(&self.count.to_be_bytes()).update(body);
        self.count += 1;
        let mut id = [0; 24];
        id[..8].copy_from_slice(&u64::try_from(nanos).unwrap_or(u64::MAX).to_be_bytes());
        hasher.finalize_xof().fill(&mut id[8..]);
        EntryId(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_differ_across_bodies_starts_and_clocks_set_back() {
        let mut seen = HashSet::new();
        for start in 0..50_u8 {
            let mut ids = EntryIds::new([start; 16]);
            for nanos in [7, 7, 3, 0, 7] {
                for body in [&b"a"[..], b"a", b"b", b""] {
                    assert!(seen.insert(ids.next_at(UNIX_EPOCH + Duration::from_nanos(nanos), body)));
                }
            }
        }
        assert_eq!(seen.len(), 1_000);
    }

    #[test]
    fn an_id_begins_with_its_time() {
        let mut ids = EntryIds::new([0; 16]);
        let id = ids.next_at(UNIX_EPOCH + Duration::from_nanos(258), b"");
        assert_eq!(id.as_bytes()[..8], [0, 0, 0, 0, 0, 0, 1, 2]);
        let before_1970 = ids.next_at(UNIX_EPOCH - Duration::from_secs(1), b"");
        assert_eq!(before_1970.as_bytes()[..8], [0; 8]);
        assert_eq!(EntryId::from_bytes(*id.as_bytes()), id);
        assert_eq!(id.to_string().len(), 48);
    }
}
