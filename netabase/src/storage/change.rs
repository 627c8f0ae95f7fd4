//! What a write did to a record, and where in the log it did it; as bytes, in the rows of the change table.
//!
//! ```text
//! change   [RecordId BE4][1: before | 2: after][length BE4][key]
//!          before, if any: [round of its write BE8][length BE4][stored value]
//!          after, if any:  [length BE4][stored value]
//! ```
//! Decoding never panics, and shares the memory of its row: `None` means that the row is damaged.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::schema::RecordId;

const HAS_BEFORE: u8 = 1;
const HAS_AFTER: u8 = 2;

/// Where a change is: its round, and which one of the round it is, counted from 0 in the order of application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) round: u64,
    pub(crate) position: u32,
}

impl Place {
    /// Behind every change of `round`, as the place of a record that was found as of it.
    pub(crate) fn of_current(round: u64) -> Place {
        Place { round, position: u32::MAX }
    }

    /// Before every change of `round`.
    pub(crate) fn start_of(round: u64) -> Place {
        Place { round, position: 0 }
    }

    /// Behind every change of `round`.
    pub(crate) fn after_round(round: u64) -> Place {
        Place::start_of(round.saturating_add(1))
    }

    /// The place behind this change.
    pub(crate) fn next(self) -> Place {
        match self.position.checked_add(1) {
            Some(position) => Place { position, ..self },
            None => Place::after_round(self.round),
        }
    }
}

/// A record before and after a write. At least one of them is there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) record: RecordId,
    pub(crate) key: Bytes,
    /// The stored value that the write replaced or removed, and the round in which that had been written.
    pub(crate) before: Option<(u64, Bytes)>,
    /// The stored value that was written.
    pub(crate) after: Option<Bytes>,
}

impl Change {
    /// What it takes in a row.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let before = self.before.as_ref().map_or(0, |(_, value)| 8 + 4 + value.len());
        let after = self.after.as_ref().map_or(0, |value| 4 + value.len());
        4 + 1 + 4 + self.key.len() + before + after
    }

    pub(super) fn encode_into(&self, out: &mut BytesMut) {
        let before = if self.before.is_some() { HAS_BEFORE } else { 0 };
        let after = if self.after.is_some() { HAS_AFTER } else { 0 };
        out.put_u32(self.record.0);
        out.put_u8(before | after);
        put(out, &self.key);
        if let Some((round, value)) = &self.before {
            out.put_u64(*round);
            put(out, value);
        }
        if let Some(value) = &self.after {
            put(out, value);
        }
    }

    /// Takes one change off the front of a row.
    pub(super) fn decode_from(row: &mut Bytes) -> Option<Change> {
        let record = RecordId(row.try_get_u32().ok()?);
        let has = row.try_get_u8().ok()?;
        if !(1..=HAS_BEFORE | HAS_AFTER).contains(&has) {
            return None;
        }
        let key = take(row)?;
        let before = match has & HAS_BEFORE {
            0 => None,
            _ => Some((row.try_get_u64().ok()?, take(row)?)),
        };
        let after = match has & HAS_AFTER {
            0 => None,
            _ => Some(take(row)?),
        };
        Some(Change { record, key, before, after })
    }

    /// The same in memory of its own: what shares a row keeps all of it.
    pub(crate) fn detached(&self) -> Change {
        let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        Change {
            record: self.record,
            key: own(&self.key),
            before: self.before.as_ref().map(|(round, value)| (*round, own(value))),
            after: self.after.as_ref().map(own),
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("record", &self.record)
            .field("key", &self.key)
            .field("before", &self.before.as_ref().map(|(round, value)| (round, value.len())))
            .field("after", &self.after.as_ref().map(Bytes::len))
            .finish()
    }
}

/// Lengths fit: a record is below 4 GiB.
fn put(out: &mut BytesMut, bytes: &Bytes) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

fn take(row: &mut Bytes) -> Option<Bytes> {
    let length = row.try_get_u32().ok()? as usize;
    (length <= row.len()).then(|| row.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changes() -> impl Strategy<Value = Change> {
        let value = || prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
        let before = prop::option::of((any::<u64>(), value()));
        (any::<u32>().prop_map(RecordId), value(), before, prop::option::of(value()))
            .prop_filter("one of them is there", |(_, _, before, after)| before.is_some() || after.is_some())
            .prop_map(|(record, key, before, after)| Change { record, key, before, after })
    }

    proptest! {
        #[test]
        fn changes_survive_their_bytes(changes in prop::collection::vec(changes(), 1..5)) {
            let mut row = BytesMut::new();
            for change in &changes {
                let before = row.len();
                change.encode_into(&mut row);
                prop_assert_eq!(row.len() - before, change.encoded_bytes());
            }
            let mut row = row.freeze();
            for change in changes {
                prop_assert_eq!(Change::decode_from(&mut row), Some(change.clone()));
                prop_assert_eq!(change.detached(), change);
            }
            prop_assert!(row.is_empty());
        }

        #[test]
        fn decoding_is_total(bytes in prop::collection::vec(any::<u8>(), 0..60), kind in 0..5_u8) {
            let mut bytes = bytes;
            if let Some(byte) = bytes.get_mut(4) {
                *byte = kind;
            }
            let mut row = Bytes::from(bytes.clone());
            if let Some(change) = Change::decode_from(&mut row) {
                let mut again = BytesMut::new();
                change.encode_into(&mut again);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - row.len()]);
            }
        }
    }

    #[test]
    fn places_follow_each_other() {
        let place = Place { round: 3, position: 7 };
        assert_eq!(place.next(), Place { round: 3, position: 8 });
        assert_eq!(Place { round: 3, position: u32::MAX }.next(), Place::start_of(4));
        assert!(place < Place::after_round(3) && Place::after_round(3) == Place::start_of(4));
    }
}
