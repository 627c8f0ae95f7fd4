//! Every table, key and shape of the acceptor log (`log.redb`), and its format version.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | name | codec bytes: `format`, `cluster`, `incarnation` |
//! | `ballots` | epoch | the greatest ballot that this node promised or accepted (D5, D6); never pruned |
//! | `entries` | (epoch, round) | ballot BE 8, entry id 24, entry body: what was accepted, the higher ballot of a round |
//! | `chosen` | epoch | the round through which every row of `entries` is chosen, without a gap. A row is there once the epoch is entered, from the seal before it on |
//! | `peers` | peer id | codec bytes of [`PeerRow`]: who was met, in which life of theirs, and what was counted |

use bytes::Bytes;
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use crate::command::{Entry, EntryId};
use crate::consensus::id::{Ballot, Epoch, Incarnation, Round};

/// Raised with every change of a shape in this file.
pub(super) const FORMAT: u32 = 1;

pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const BALLOTS: TableDefinition<'static, u64, u64> = TableDefinition::new("ballots");
pub(super) const ENTRIES: TableDefinition<'static, (u64, u64), &[u8]> = TableDefinition::new("entries");
pub(super) const CHOSEN: TableDefinition<'static, u64, u64> = TableDefinition::new("chosen");
pub(super) const PEERS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("peers");

pub(super) const META_FORMAT: &str = "format";
pub(super) const META_CLUSTER: &str = "cluster";
pub(super) const META_INCARNATION: &str = "incarnation";

/// What is remembered of a voter that this node met (D14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    /// The epoch in which it was met.
    pub(crate) epoch: Epoch,
    /// The life of its directory in which it was first met there.
    pub(crate) incarnation: Incarnation,
    /// The greatest ballot of a vote of that peer that this node counted; 0 while it counted none.
    pub(crate) counted: Ballot,
}

impl PeerRow {
    /// What is remembered after `news`: within an epoch the first life stays, and what was counted only grows.
    pub(super) fn updated(remembered: Option<PeerRow>, news: PeerRow) -> PeerRow {
        match remembered {
            Some(row) if row.epoch == news.epoch && row.incarnation == news.incarnation => {
                PeerRow { counted: row.counted.max(news.counted), ..row }
            }
            Some(row) if row.epoch == news.epoch => row,
            _ => news,
        }
    }
}

/// An accepted entry with the ballot it was accepted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) round: Round,
    pub(crate) ballot: Ballot,
    pub(crate) entry: Entry,
}

const BALLOT_BYTES: usize = 8;
const ID_BYTES: usize = 24;

/// The value of an `entries` row.
pub(super) fn entry_row(ballot: Ballot, entry: &Entry) -> Vec<u8> {
    let mut row = Vec::with_capacity(BALLOT_BYTES + ID_BYTES + entry.body.len());
    row.extend_from_slice(&ballot.to_be_bytes());
    row.extend_from_slice(entry.id.as_bytes());
    row.extend_from_slice(&entry.body);
    row
}

/// Reads an `entries` row; `None` when it is too short to be one.
pub(super) fn read_entry_row(row: &[u8]) -> Option<(Ballot, Entry)> {
    let (ballot, rest) = row.split_first_chunk::<BALLOT_BYTES>()?;
    let (id, body) = rest.split_first_chunk::<ID_BYTES>()?;
    Some((Ballot::from_be_bytes(*ballot), Entry { id: EntryId::from_bytes(*id), body: Bytes::copy_from_slice(body) }))
}

/// The ballot and id of an `entries` row, without its body.
pub(super) fn read_entry_head(row: &[u8]) -> Option<(Ballot, EntryId)> {
    let (ballot, rest) = row.split_first_chunk::<BALLOT_BYTES>()?;
    let (id, _) = rest.split_first_chunk::<ID_BYTES>()?;
    Some((Ballot::from_be_bytes(*ballot), EntryId::from_bytes(*id)))
}
