//! The change table: what each round did to the records, oldest first, for watches. Bounded by pruning whole rounds.
//!
//! What must hold: a round's changes are laid down with its rows, in the order of their application; what is kept is a
//! function of the log alone, so the floor, the oldest round whose changes are all there, is the same on every node; a
//! round above the floor without a row changed nothing. Written by a draft when it is installed, read through a view.

use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::change::{Change, Place};
use super::engine::{Snapshot, StoreError};
use super::layout;
use super::scan::Scan;
use super::view::{Layers, Pending, Rows, View};
use crate::Error;

/// How much the table may take; with 0 there is none. A round that alone takes more is not kept, nor is what came before it.
pub(super) const CHANGE_BYTES_MAX: u64 = 64 << 20;

/// Where a round's changes are split into another row.
const ROW_BYTES: usize = 64 << 10;

/// More than any table ever had: what counts on from less never overflows.
const BYTES_EVER_MAX: u64 = 1 << 62;

/// Pruning takes this part of the bound at once, so that not every round reads what it prunes.
const PRUNE_PARTS: u64 = 256;

/// What is known of the table beside its rows: two counters of bytes ever written, and the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangeTable {
    bytes_max: u64,
    floor: Floor,
    written: u64,
}

/// The oldest round that is kept whole, and how many bytes had been written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Floor {
    round: u64,
    dropped: u64,
}

impl Floor {
    fn read(row: Option<Bytes>) -> Result<Floor, Error> {
        let Some(mut row) = row else { return Ok(Floor { round: 1, dropped: 0 }) };
        let floor = row.try_get_u64().ok().zip(row.try_get_u64().ok());
        floor.map(|(round, dropped)| Floor { round, dropped }).ok_or_else(|| damaged("its floor is too short"))
    }

    fn row(self) -> (Bytes, Option<Bytes>) {
        let mut value = BytesMut::with_capacity(16);
        value.put_u64(self.round);
        value.put_u64(self.dropped);
        (layout::change_floor_key(), Some(value.freeze()))
    }
}

impl ChangeTable {
    /// Reads the floor and the last row, whatever the table's size, of a store at round `applied`.
    pub(super) fn open(base: &dyn Snapshot, applied: u64, bytes_max: u64) -> Result<ChangeTable, Error> {
        let floor = Floor::read(base.get(&layout::change_floor_key())?)?;
        let (lower, upper) = layout::change_bounds();
        let last = base.scan(Bound::Included(&lower), Bound::Excluded(&upper), true)?.next().transpose()?;
        let (round, written) = match last {
            Some((key, row)) => (place_of(&key)?.round, written_before(&row)?),
            None => (0, floor.dropped),
        };
        if round > applied || floor.round > applied + 1 {
            return Err(damaged("a row is of a round that the store does not hold"));
        }
        if written < floor.dropped || written > BYTES_EVER_MAX {
            return Err(damaged("its rows do not count up"));
        }
        Ok(ChangeTable { bytes_max, floor, written })
    }

    /// Lays the changes of `round` into `rows`, and prunes what they make too much.
    pub(super) fn append(
        &mut self,
        round: u64,
        changes: &RoundChanges,
        below: &Layers,
        rows: &mut Pending,
    ) -> Result<(), Error> {
        if changes.bytes == 0 {
            return Ok(());
        }
        let mut next = *self;
        if changes.bytes > self.bytes_max {
            let all = next.prune(u64::MAX, round, below, rows)?;
            debug_assert_eq!(all, next.written);
            next.floor = Floor { round: round + 1, dropped: next.written };
            rows.extend([next.floor.row()]);
        } else {
            next.write(round, &changes.list, rows);
            if next.written - next.floor.dropped > next.bytes_max {
                let kept = next.bytes_max - next.bytes_max / PRUNE_PARTS;
                next.prune(next.written.saturating_sub(kept), round, below, rows)?;
                rows.extend([next.floor.row()]);
            }
        }
        *self = next;
        Ok(())
    }

    /// Lays down a round's rows: each holds whole changes, and says how many bytes were written up to its end.
    fn write(&mut self, round: u64, changes: &[Change], rows: &mut Pending) {
        let mut changes = (0_u32..).zip(changes).peekable();
        while let Some((first, change)) = changes.next() {
            let mut row = BytesMut::with_capacity(8 + change.encoded_bytes());
            row.put_u64(0);
            change.encode_into(&mut row);
            while let Some((_, change)) = changes.next_if(|(_, change)| row.len() + change.encoded_bytes() <= ROW_BYTES)
            {
                change.encode_into(&mut row);
            }
            let key = layout::change_key(Place { round, position: first });
            self.written += (key.len() + row.len()) as u64;
            row[..8].copy_from_slice(&self.written.to_be_bytes());
            rows.insert(key, Some(row.freeze()));
        }
    }

    /// Removes the oldest rounds before `round` until so many bytes ever written are gone, and gives how many are.
    fn prune(&mut self, goal: u64, round: u64, below: &Layers, rows: &mut Pending) -> Result<u64, Error> {
        let lower = layout::change_key(Place::start_of(self.floor.round));
        let upper = layout::change_key(Place::start_of(round));
        let mut last = None;
        for row in Scan::over(None, below, Bound::Included(&lower), Bound::Excluded(&upper), false)? {
            let (key, value) = row?;
            let place = place_of(&key)?;
            if self.floor.dropped >= goal && last != Some(place.round) {
                break;
            }
            last = Some(place.round);
            let dropped = written_before(&value)?;
            if dropped < self.floor.dropped || dropped > self.written {
                return Err(damaged("its rows do not count up"));
            }
            self.floor = Floor { round: place.round + 1, dropped };
            rows.insert(key, None);
        }
        Ok(self.floor.dropped)
    }
}

fn place_of(key: &[u8]) -> Result<Place, Error> {
    layout::split_change_key(key).ok_or_else(|| damaged("a row has another key"))
}

/// How many bytes had been written when this row was.
fn written_before(row: &[u8]) -> Result<u64, Error> {
    row.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(|| damaged("a row is too short"))
}

/// The changes of a round that is being applied.
#[derive(Debug, Default)]
pub(super) struct RoundChanges {
    list: Vec<Change>,
    bytes: u64,
    bytes_max: u64,
}

/// How far a round's changes had got.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    changes: usize,
    bytes: u64,
}

impl RoundChanges {
    pub(super) fn new(table: &ChangeTable) -> RoundChanges {
        RoundChanges { list: Vec::new(), bytes: 0, bytes_max: table.bytes_max }
    }

    /// Adds a change. What is more than the table takes is only counted: a small entry can remove a lot.
    pub(super) fn push(&mut self, change: Change) {
        if self.bytes_max == 0 {
            return;
        }
        self.bytes += change.encoded_bytes() as u64;
        if self.bytes <= self.bytes_max {
            self.list.push(change);
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { changes: self.list.len(), bytes: self.bytes }
    }

    /// What was added since never was.
    pub(super) fn roll_back(&mut self, mark: Mark) {
        self.list.truncate(mark.changes);
        self.bytes = mark.bytes;
    }
}

/// Changes read from the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// Those from the place asked for on, in order.
    Page {
        changes: Vec<(Place, Change)>,
        /// Where to go on. Behind the view's applied round, if that was all.
        next: Place,
    },
    /// They are gone; what there is begins with this round.
    Pruned { oldest: u64 },
}

impl View {
    /// The oldest round whose changes are all there.
    pub(crate) fn oldest_change(&self) -> Result<u64, Error> {
        Ok(Floor::read(self.get(&layout::change_floor_key())?)?.round)
    }

    /// The changes from a place on: those of one row, and of more until they are `bytes_max`.
    pub(crate) fn changes(&self, from: Place, bytes_max: usize) -> Result<Changes, Error> {
        let oldest = self.oldest_change()?;
        if from.round < oldest {
            return Ok(Changes::Pruned { oldest });
        }
        let end = Place::after_round(self.applied());
        let (mut changes, mut bytes) = (Vec::new(), 0);
        if from >= end {
            return Ok(Changes::Page { changes, next: from });
        }
        // The row that holds the place begins there, or before it in the same round.
        let (round, place) = (layout::change_key(Place::start_of(from.round)), layout::change_key(from));
        let holds = self.scan(Bound::Included(&round), Bound::Included(&place), true)?.next().transpose()?;
        let lower = holds.map_or(place, |(key, _)| key);
        let (_, upper) = layout::change_bounds();
        let mut next = end;
        for row in self.scan(Bound::Included(&lower), Bound::Excluded(&upper), false)? {
            let (key, mut row) = row?;
            let first = place_of(&key)?;
            if bytes > 0 && bytes >= bytes_max {
                next = first.max(from);
                break;
            }
            bytes += row.len();
            row.try_get_u64().map_err(|_| damaged("a row is too short"))?;
            let mut place = first;
            while !row.is_empty() {
                let change = Change::decode_from(&mut row).ok_or_else(|| damaged("a change does not decode"))?;
                if place >= from {
                    changes.push((place, change));
                }
                place = place.next();
            }
        }
        Ok(Changes::Page { changes, next })
    }
}

fn damaged(what: &str) -> Error {
    StoreError::Damaged(format!("in the table of changes, {what}")).into()
}

#[cfg(test)]
mod tests;
