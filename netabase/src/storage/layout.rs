//! Every row of the store: its space, key and shape, in this one file.
//!
//! ```text
//! record   [0x01][RecordId BE4][key]                            -> [round of last write BE8][stored value]
//! index    [0x02][RecordId BE4][IndexId BE4][index key][key]    -> [length of the index key BE4]
//! session  [0x03][round BE8][position BE4]                      -> codec(Session)
//! request  [0x04][request id 16]                                -> codec(Recorded)
//! change   [0x05][round BE8][position of the first BE4]         -> [bytes written so far BE8][change]…
//! floor    [0x05]                                               -> [oldest round kept BE8][bytes written before it BE8]
//! roster   [0x06]                                               -> codec(Roster)
//! version  [0x07][RecordId BE4]                                 -> [active][floor][codec(Pass), if there is one]
//! clock    [0x08]                                               -> [milliseconds since 1970 BE8]
//! meta     [0x0f][name]                                         -> as said at each name
//! ```
//! Key and index-key bytes are prefix-free, so all rows with one index key are exactly one byte prefix.
//! A unique index has the same shape: it is unique while no index key has a second row. Splitting a row
//! never panics: `None` means that the row is damaged. A change here is a new `FORMAT`.

use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};

use super::change::Place;
use crate::schema::{IndexId, RecordId};

/// The only table, or tree, of an engine: all rows are in it, so that a flush is one sorted run over one tree.
pub(super) const ROWS_TABLE: &str = "netabase-rows";

/// The version of everything in this file, stored in [`META_FORMAT`].
pub(super) const FORMAT: u32 = 3;

pub(crate) const SPACE_RECORD: u8 = 0x01;
pub(crate) const SPACE_SESSION: u8 = 0x03;
pub(crate) const SPACE_REQUEST: u8 = 0x04;
const SPACE_INDEX: u8 = 0x02;
const SPACE_CHANGE: u8 = 0x05;
pub(crate) const SPACE_ROSTER: u8 = 0x06;
const SPACE_VERSION: u8 = 0x07;
pub(super) const SPACE_CLOCK: u8 = 0x08;
const SPACE_META: u8 = 0x0f;

/// `FORMAT` as BE4.
pub(super) const META_FORMAT: &str = "format";
/// The round that the rows reflect, BE8.
pub(super) const META_APPLIED: &str = "applied";
/// What the rows come to, BE16: see `sum`.
pub(super) const META_SUM: &str = "sum";
/// What gives the rows their rounds: `node` or `alone`.
pub(crate) const META_KEEPER: &str = "keeper";
/// codec(Descriptor) of the versions that were ever in use.
pub(crate) const META_DESCRIPTOR: &str = "descriptor";

const ROUND_BYTES: usize = 8;
const RECORD_PREFIX_BYTES: usize = 1 + 4;
const INDEX_PREFIX_BYTES: usize = 1 + 4 + 4;
const SESSION_KEY_BYTES: usize = 1 + 8 + 4;

pub(crate) fn record_prefix(record: RecordId) -> [u8; RECORD_PREFIX_BYTES] {
    let [a, b, c, d] = record.0.to_be_bytes();
    [SPACE_RECORD, a, b, c, d]
}

pub(crate) fn record_key(record: RecordId, key: &[u8]) -> Bytes {
    joined(&record_prefix(record), &[key])
}

/// The value of a record row: when it was written, and the record as its type encodes it.
pub(crate) fn record_value(round: u64, stored: &[u8]) -> Bytes {
    joined(&round.to_be_bytes(), &[stored])
}

/// The round of the last write and the stored value; shares the row's memory.
pub(crate) fn split_record_value(row: &Bytes) -> Option<(u64, Bytes)> {
    let round = u64::from_be_bytes(*row.first_chunk()?);
    Some((round, row.slice(ROUND_BYTES..)))
}

pub(crate) fn index_prefix(record: RecordId, index: IndexId) -> [u8; INDEX_PREFIX_BYTES] {
    let [a, b, c, d] = record.0.to_be_bytes();
    let [e, f, g, h] = index.0.to_be_bytes();
    [SPACE_INDEX, a, b, c, d, e, f, g, h]
}

pub(crate) fn index_key(record: RecordId, index: IndexId, index_key: &[u8], key: &[u8]) -> Bytes {
    joined(&index_prefix(record, index), &[index_key, key])
}

/// The start of every row of an index that has this index key.
pub(crate) fn index_key_prefix(record: RecordId, index: IndexId, index_key: &[u8]) -> Bytes {
    joined(&index_prefix(record, index), &[index_key])
}

/// The value of an index row: where in its key the primary key begins.
///
/// # Panics
/// Never for what fits in an entry: an index key is part of a record, and those are below 4 GiB.
pub(crate) fn index_value(index_key: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&u32::try_from(index_key.len()).unwrap_or(u32::MAX).to_be_bytes())
}

/// The index key and the primary key of an index row; shares the row's memory.
pub(crate) fn split_index_row(row_key: &Bytes, row_value: &[u8]) -> Option<(Bytes, Bytes)> {
    let index_key_bytes = u32::from_be_bytes(row_value.try_into().ok()?) as usize;
    let key_at = INDEX_PREFIX_BYTES.checked_add(index_key_bytes)?;
    if key_at > row_key.len() {
        return None;
    }
    Some((row_key.slice(INDEX_PREFIX_BYTES..key_at), row_key.slice(key_at..)))
}

/// The primary key of a record row; shares the row's memory.
pub(crate) fn split_record_key(row_key: &Bytes) -> Option<Bytes> {
    (row_key.len() >= RECORD_PREFIX_BYTES).then(|| row_key.slice(RECORD_PREFIX_BYTES..))
}

pub(crate) fn session_key(round: u64, position: u32) -> Bytes {
    joined(&[SPACE_SESSION], &[&round.to_be_bytes(), &position.to_be_bytes()])
}

/// Round and position of a session row's key.
pub(crate) fn split_session_key(row_key: &[u8]) -> Option<(u64, u32)> {
    if row_key.len() != SESSION_KEY_BYTES {
        return None;
    }
    let (round, position) = row_key[1..].split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*round), u32::from_be_bytes(position.try_into().ok()?)))
}

pub(crate) fn request_key(id: [u8; 16]) -> Bytes {
    joined(&[SPACE_REQUEST], &[&id])
}

/// The id of a request row's key.
pub(crate) fn split_request_key(row_key: &[u8]) -> Option<[u8; 16]> {
    row_key.get(1..)?.try_into().ok()
}

pub(super) fn change_key(first: Place) -> Bytes {
    joined(&[SPACE_CHANGE], &[&first.round.to_be_bytes(), &first.position.to_be_bytes()])
}

/// The place of the first change in a row of the change table.
pub(super) fn split_change_key(row_key: &[u8]) -> Option<Place> {
    let (round, position) = row_key.get(1..)?.split_first_chunk::<8>()?;
    let position = u32::from_be_bytes(position.try_into().ok()?);
    Some(Place { round: u64::from_be_bytes(*round), position })
}

/// Where the change table's floor is: before all its rows.
pub(super) fn change_floor_key() -> Bytes {
    Bytes::from_static(&[SPACE_CHANGE])
}

/// From the first possible row of the change table to behind the last.
pub(super) fn change_bounds() -> (Bytes, Bytes) {
    (change_key(Place::start_of(0)), Bytes::from_static(&[SPACE_CHANGE + 1]))
}

/// Where the list of members is.
pub(crate) fn roster_key() -> Bytes {
    Bytes::from_static(&[SPACE_ROSTER])
}

/// Which versions a record type has.
pub(crate) fn version_key(record: RecordId) -> Bytes {
    joined(&version_prefix(), &[&record.0.to_be_bytes()])
}

pub(crate) fn version_prefix() -> [u8; 1] {
    [SPACE_VERSION]
}

/// In which version records are written, and the lowest in which there may be rows, of a version row.
pub(crate) fn split_versions(row: &[u8]) -> Option<(u8, u8)> {
    match row {
        [active, floor, ..] if (1..=*active).contains(floor) => Some((*floor, *active)),
        _ => None,
    }
}

/// The record type of a version row's key.
pub(crate) fn split_version_key(row_key: &[u8]) -> Option<RecordId> {
    Some(RecordId(u32::from_be_bytes(row_key.get(1..)?.try_into().ok()?)))
}

/// Up to when what was to expire is removed: the same on every node.
pub(crate) fn clock_key() -> Bytes {
    Bytes::from_static(&[SPACE_CLOCK])
}

pub(crate) fn clock_row(clock_ms: u64) -> Bytes {
    Bytes::copy_from_slice(&clock_ms.to_be_bytes())
}

pub(crate) fn split_clock_row(row: &[u8]) -> Option<u64> {
    row.try_into().ok().map(u64::from_be_bytes)
}

pub(crate) fn meta_key(name: &str) -> Bytes {
    joined(&[SPACE_META], &[name.as_bytes()])
}

/// Whether a row is this file's own affair, and not part of what is agreed on.
pub(super) fn is_meta(row_key: &[u8]) -> bool {
    row_key.first().is_some_and(|space| *space >= SPACE_META)
}

/// The bounds of all rows that begin with `prefix`.
pub(crate) fn prefix_range(prefix: &[u8]) -> (Bound<&[u8]>, Bound<Bytes>) {
    (Bound::Included(prefix), successor(prefix))
}

/// The least bound above everything that begins with `prefix`.
pub(crate) fn successor(prefix: &[u8]) -> Bound<Bytes> {
    let Some(at) = prefix.iter().rposition(|byte| *byte != u8::MAX) else {
        return Bound::Unbounded;
    };
    let mut above = BytesMut::from(&prefix[..=at]);
    above[at] += 1;
    Bound::Excluded(above.freeze())
}

fn joined(head: &[u8], tail: &[&[u8]]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(head.len() + tail.iter().map(|part| part.len()).sum::<usize>());
    bytes.put_slice(head);
    for part in tail {
        bytes.put_slice(part);
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_split_into_what_they_were_made_of() {
        let (record, index) = (RecordId(7), IndexId(9));
        let row = index_key(record, index, b"city", b"key");
        assert_eq!(
            split_index_row(&row, &index_value(b"city")),
            Some((Bytes::from_static(b"city"), Bytes::from_static(b"key")))
        );
        assert_eq!(split_record_key(&record_key(record, b"key")), Some(Bytes::from_static(b"key")));
        assert_eq!(split_record_value(&record_value(3, b"value")), Some((3, Bytes::from_static(b"value"))));
        assert_eq!(split_session_key(&session_key(5, 6)), Some((5, 6)));
        assert_eq!(split_request_key(&request_key([7; 16])), Some([7; 16]));
        let place = Place { round: 5, position: 6 };
        assert_eq!(split_change_key(&change_key(place)), Some(place));
    }

    #[test]
    fn damaged_rows_split_into_nothing() {
        assert_eq!(split_index_row(&Bytes::from_static(b"short"), &[0, 0, 0, 1]), None);
        assert_eq!(split_index_row(&Bytes::from_static(b"123456789abc"), &[0xff; 4]), None);
        assert_eq!(split_index_row(&Bytes::from_static(b"123456789abc"), &[0; 3]), None);
        assert_eq!(split_record_value(&Bytes::from_static(b"1234567")), None);
        assert_eq!(split_record_key(&Bytes::from_static(b"1234")), None);
        assert_eq!(split_session_key(&[SPACE_SESSION; 12]), None);
        assert_eq!(split_session_key(&[]), None);
        assert_eq!(split_request_key(&[SPACE_REQUEST; 16]), None);
        assert_eq!(split_request_key(&[]), None);
        assert_eq!(split_change_key(&change_floor_key()), None);
        assert_eq!(split_change_key(&[]), None);
    }

    #[test]
    fn the_successor_is_above_the_prefix_and_all_that_begins_with_it() {
        assert_eq!(successor(&[1, 2]), Bound::Excluded(Bytes::from_static(&[1, 3])));
        assert_eq!(successor(&[1, 0xff, 0xff]), Bound::Excluded(Bytes::from_static(&[2])));
        assert_eq!(successor(&[0xff]), Bound::Unbounded);
        assert_eq!(successor(&[]), Bound::Unbounded);
    }
}
