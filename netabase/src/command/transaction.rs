//! A transaction: what it read, and the writes that are to happen if all of that still stands.
//!
//! ```text
//! closure over a view --what it read, what it writes--> Transaction --log--> apply: still so? then all writes, else none
//! ```
//! Optimistic and serialisable: a read is a record with the round of its last write, or a range with a digest over
//! the rows in it, so that a row which appears in the range is noticed like one that changed (Kung and Robinson, "On
//! Optimistic Methods for Concurrency Control"). Made by the handle, judged by the machine.

use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::command::Write;
use super::encoded::{Undecodable, put_write_tag, take, write_of};
use crate::schema::{IndexId, RecordId};

/// How many rows the ranges of one transaction may hold: each is read again in `apply`.
pub(crate) const RANGE_ROWS_MAX: u64 = 10_000;
/// How many rows of what has expired there may be between them, which are looked at, too.
pub(crate) const HIDDEN_ROWS_MAX: u64 = 20_000;

/// Names a call that its caller may repeat: the outcome of the first one is the outcome of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct RequestId(pub(crate) [u8; 16]);

/// Writes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) request: Option<RequestId>,
    pub(crate) reads: Vec<Read>,
    /// In the order in which they are applied: a later one sees what an earlier one wrote.
    pub(crate) writes: Vec<Write>,
}

/// Something that was read, and must still be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The record under `key` was last written in `round`; 0: there was none.
    Record {
        record: RecordId,
        key: Bytes,
        round: u64,
    },
    /// The record under `key` had expired, so that nobody was shown it, and was last written in `round`; it may be removed by
    /// now, as if it had been then.
    Hidden {
        record: RecordId,
        key: Bytes,
        round: u64,
    },
    Range(RangeRead),
}

/// The rows of a record type, or of one of its indexes, between two bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeRead {
    pub(crate) record: RecordId,
    pub(crate) index: Option<IndexId>,
    /// Bounds over row keys, as the store's layout makes them.
    pub(crate) lower: Bound<Bytes>,
    pub(crate) upper: Bound<Bytes>,
    /// When it was read: what had expired by then is not in it, whether it is removed or not. 0: all is in it.
    pub(crate) hidden_by_ms: u64,
    pub(crate) seen: Digest,
}

/// What was shown of a range: how many rows, and a hash over their keys and the rounds of their records' last writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) rows: u64,
    pub(crate) hash: [u8; 16],
}

const READ_RECORD: u8 = 1;
const READ_RANGE: u8 = 2;
const READ_HIDDEN: u8 = 3;
const READ_RANGE_AT: u8 = 4;

/// What a transaction takes in a command beyond its keys and values, at most: the head, and one read and one write.
pub(super) const TRANSACTION_OVERHEAD_BYTES: usize = 17 + 4 + (1 + 4 + 4 + 8) + 4 + (1 + 4 + 4);

impl Transaction {
    /// How many bytes it takes, about, and at least.
    pub(crate) fn bytes(&self) -> usize {
        let bound = |bound: &Bound<Bytes>| match bound {
            Bound::Unbounded => 1,
            Bound::Included(bytes) | Bound::Excluded(bytes) => 1 + 4 + bytes.len(),
        };
        let read = |read: &Read| match read {
            Read::Record { key, .. } | Read::Hidden { key, .. } => 1 + 4 + 4 + key.len() + 8,
            Read::Range(range) => 1 + 4 + 5 + bound(&range.lower) + bound(&range.upper) + 8 + 8 + 16,
        };
        let reads: usize = self.reads.iter().map(read).sum();
        let writes: usize = self.writes.iter().map(|write| 1 + 4 + 4 + write.payload_bytes()).sum();
        17 + 4 + reads + 4 + writes
    }

    pub(super) fn encode_into(&self, out: &mut BytesMut) {
        match self.request {
            None => out.put_u8(0),
            Some(RequestId(id)) => {
                out.put_u8(1);
                out.put_slice(&id);
            }
        }
        // More than 4 GiB of either does not fit into any entry, and is refused long before.
        out.put_u32(u32::try_from(self.reads.len()).unwrap_or(u32::MAX));
        for read in &self.reads {
            match read {
                Read::Record { record, key, round } | Read::Hidden { record, key, round } => {
                    out.put_u8(if let Read::Hidden { .. } = read { READ_HIDDEN } else { READ_RECORD });
                    out.put_u32(record.0);
                    put_bytes(out, key);
                    out.put_u64(*round);
                }
                Read::Range(RangeRead { record, index, lower, upper, hidden_by_ms, seen }) => {
                    out.put_u8(if *hidden_by_ms > 0 { READ_RANGE_AT } else { READ_RANGE });
                    out.put_u32(record.0);
                    match index {
                        None => out.put_u8(0),
                        Some(index) => {
                            out.put_u8(1);
                            out.put_u32(index.0);
                        }
                    }
                    put_bound(out, lower);
                    put_bound(out, upper);
                    if *hidden_by_ms > 0 {
                        out.put_u64(*hidden_by_ms);
                    }
                    out.put_u64(seen.rows);
                    out.put_slice(&seen.hash);
                }
            }
        }
        out.put_u32(u32::try_from(self.writes.len()).unwrap_or(u32::MAX));
        for write in &self.writes {
            put_write_tag(out, write);
            out.put_u32(write.record().0);
            put_bytes(out, write.payload());
        }
    }

    /// Its bytes alone, for a member or a client.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes());
        self.encode_into(&mut out);
        out.freeze()
    }

    /// Shares the memory of `bytes`, all of which it takes.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Transaction, Undecodable> {
        let bytes = &mut bytes;
        let request = match take(bytes)? {
            [0] => None,
            [1] => Some(RequestId(take(bytes)?)),
            _ => return Err(Undecodable("neither with nor without a request id")),
        };
        let mut reads = Vec::new();
        for _ in 0..u32::from_be_bytes(take(bytes)?) {
            let [tag] = take(bytes)?;
            let record = RecordId(u32::from_be_bytes(take(bytes)?));
            reads.push(match tag {
                READ_RECORD => {
                    let key = take_bytes(bytes)?;
                    Read::Record { record, key, round: u64::from_be_bytes(take(bytes)?) }
                }
                READ_HIDDEN => {
                    let key = take_bytes(bytes)?;
                    Read::Hidden { record, key, round: u64::from_be_bytes(take(bytes)?) }
                }
                READ_RANGE | READ_RANGE_AT => {
                    let index = match take(bytes)? {
                        [0] => None,
                        [1] => Some(IndexId(u32::from_be_bytes(take(bytes)?))),
                        _ => return Err(Undecodable("neither with nor without an index")),
                    };
                    let (lower, upper) = (take_bound(bytes)?, take_bound(bytes)?);
                    let hidden_by_ms = if tag == READ_RANGE_AT { u64::from_be_bytes(take(bytes)?) } else { 0 };
                    if tag == READ_RANGE_AT && hidden_by_ms == 0 {
                        return Err(Undecodable("a range read at no time says so by its tag"));
                    }
                    let seen = Digest { rows: u64::from_be_bytes(take(bytes)?), hash: take(bytes)? };
                    Read::Range(RangeRead { record, index, lower, upper, hidden_by_ms, seen })
                }
                _ => return Err(Undecodable("an unknown kind of read")),
            });
        }
        let mut writes = Vec::new();
        for _ in 0..u32::from_be_bytes(take(bytes)?) {
            let [tag] = take(bytes)?;
            let record = RecordId(u32::from_be_bytes(take(bytes)?));
            let payload = take_bytes(bytes)?;
            writes.push(write_of(tag, record, payload).ok_or(Undecodable("an unknown kind of write"))?);
        }
        if bytes.is_empty() {
            Ok(Transaction { request, reads, writes })
        } else {
            Err(Undecodable("bytes behind its end"))
        }
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

fn take_bytes(bytes: &mut Bytes) -> Result<Bytes, Undecodable> {
    let length = u32::from_be_bytes(take(bytes)?) as usize;
    if length > bytes.len() {
        return Err(Undecodable("a part ends behind its command"));
    }
    Ok(bytes.split_to(length))
}

fn put_bound(out: &mut BytesMut, bound: &Bound<Bytes>) {
    match bound {
        Bound::Unbounded => out.put_u8(0),
        Bound::Included(bytes) => {
            out.put_u8(1);
            put_bytes(out, bytes);
        }
        Bound::Excluded(bytes) => {
            out.put_u8(2);
            put_bytes(out, bytes);
        }
    }
}

fn take_bound(bytes: &mut Bytes) -> Result<Bound<Bytes>, Undecodable> {
    match take(bytes)? {
        [0] => Ok(Bound::Unbounded),
        [1] => Ok(Bound::Included(take_bytes(bytes)?)),
        [2] => Ok(Bound::Excluded(take_bytes(bytes)?)),
        _ => Err(Undecodable("an unknown bound")),
    }
}
