//! What a transaction read: noted where it runs, and looked at again in `apply`.
//!
//! Must hold: whatever the closure could learn is noted, a refusal of a write too; what is noted and what is judged is
//! one code over the same rows, so that they differ only if the rows do. A row counts with the round of its record's last
//! write: a record that was changed and changed back was changed. Own writes of the transaction are not noted.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::Error;
use crate::command::{Digest, RANGE_ROWS_MAX, RangeRead, Read, Refusal, Write};
use crate::schema::{After, IndexId, Plan, RecordGlue, RecordId};
use crate::storage::{Branch, Row, RowBounds, Rows, Selecting, as_slice, layout};

/// The reads of a transaction so far.
#[derive(Debug)]
pub(crate) struct Footprint {
    records: BTreeMap<(RecordId, Bytes), u64>,
    ranges: Vec<RangeRead>,
    rows_left: u64,
}

/// How much of a plan is read.
pub(crate) enum Extent<'a> {
    All,
    /// Up to the row of which this says that it is the last one, or fewer: see [`Pages`](crate::storage::Pages).
    Page(&'a mut dyn FnMut(&Row) -> bool),
}

impl Default for Footprint {
    fn default() -> Self {
        Footprint { records: BTreeMap::new(), ranges: Vec::new(), rows_left: RANGE_ROWS_MAX }
    }
}

impl Footprint {
    /// The stored value under `key`.
    pub(crate) fn get(
        &mut self,
        branch: &Branch,
        record: RecordId,
        glue: &RecordGlue,
        key: &[u8],
    ) -> Result<Option<Bytes>, Error> {
        self.note_record(branch, record, key)?;
        Ok(branch.record(record, glue, key)?.map(|(_, value)| value))
    }

    /// The stored values that the plan selects, as long as `more` says so, and behind which place it goes on, if it ends before
    /// the plan does. What lies behind that is not noted.
    pub(crate) fn query(
        &mut self,
        branch: &Branch,
        plan: &Plan,
        glue: &RecordGlue,
        extent: Extent<'_>,
    ) -> Result<(Vec<Bytes>, Option<After>), Error> {
        if let (Some(_), Some(After::Key(key))) = (plan.index, &plan.after) {
            // Where it goes on is the place of this record in the index.
            self.note_record(branch, plan.record, key)?;
        }
        if plan.limit == Some(0) {
            return Ok((Vec::new(), None));
        }
        let (mut lower, mut upper) = branch.plan_bounds(plan, glue)?;
        let (mut values, mut last, mut is_full) = (Vec::new(), None, false);
        let mut rows = branch.select(plan, glue)?;
        let mut more = match extent {
            Extent::All => None,
            Extent::Page(more) => {
                rows = rows.within_a_page();
                Some(more)
            }
        };
        for row in rows.by_ref() {
            let row = row?;
            last = Some(row.place());
            is_full = more.as_mut().is_some_and(|more| !more(&row));
            values.push(row.value);
            if is_full {
                break;
            }
        }
        let is_over = plan.limit == Some(values.len());
        if let Some(cut) = rows.cut() {
            (last, is_full) = (Some(cut.clone()), true);
        }
        if (is_full || is_over)
            && let Some(last) = &last
        {
            // What lies behind the last one was not looked at.
            *(if plan.reverse { &mut lower } else { &mut upper }) = Bound::Included(row_key(plan, last));
        }
        self.note_range(branch, plan.record, plan.index, (lower, upper))?;
        Ok((values, last.filter(|_| is_full && !is_over)))
    }

    /// A write was refused: that tells what is there, and whoever runs the transaction may act on it. `glue`: of the version
    /// that is written.
    pub(crate) fn refused(
        &mut self,
        branch: &Branch,
        write: &Write,
        refusal: &Refusal,
        glue: &RecordGlue,
    ) -> Result<(), Error> {
        let record = write.record();
        let Ok(rows) = (glue.rows)(write.payload()) else { return Ok(()) };
        match refusal {
            Refusal::AlreadyExists { .. } => self.note_record(branch, record, &rows.key),
            Refusal::UniqueViolation { index, .. } => {
                let position = glue.indexes.iter().position(|known| IndexId::named(known.name) == *index);
                let index_key = position.and_then(|position| rows.index_keys.into_iter().nth(position)).flatten();
                let Some(index_key) = index_key else { return Ok(()) };
                // Whether the record has that value already was looked at, too.
                self.note_record(branch, record, &rows.key)?;
                let prefix = layout::index_key_prefix(record, *index, &index_key);
                let upper = layout::successor(&prefix);
                self.note_range(branch, record, Some(*index), (Bound::Included(prefix), upper))
            }
            _ => Ok(()),
        }
    }

    /// All that was read.
    pub(crate) fn into_reads(self) -> Vec<Read> {
        let records = self.records.into_iter().map(|((record, key), round)| Read::Record { record, key, round });
        records.chain(self.ranges.into_iter().map(Read::Range)).collect()
    }

    fn note_record(&mut self, branch: &Branch, record: RecordId, key: &[u8]) -> Result<(), Error> {
        let round = last_write(branch.below(), record, key)?;
        self.records.insert((record, Bytes::copy_from_slice(key)), round);
        Ok(())
    }

    fn note_range(
        &mut self,
        branch: &Branch,
        record: RecordId,
        index: Option<IndexId>,
        (lower, upper): RowBounds,
    ) -> Result<(), Error> {
        let seen = digest(branch.below(), record, index, (&lower, &upper), self.rows_left)?;
        let seen = seen.ok_or_else(|| Error::TransactionTooLarge {
            reason: format!(
                "its queries read more than {RANGE_ROWS_MAX} rows, each of which is looked at again when it commits: \
                 give them a `limit`, or read with `db.query`"
            ),
        })?;
        self.rows_left -= seen.rows;
        self.ranges.push(RangeRead { record, index, lower, upper, seen });
        Ok(())
    }
}

/// Whether all of it still stands.
pub(super) fn holds(rows: &dyn Rows, reads: &[Read]) -> Result<bool, Error> {
    let mut left = RANGE_ROWS_MAX;
    for read in reads {
        let same = match read {
            Read::Record { record, key, round } => last_write(rows, *record, key)? == *round,
            Read::Range(RangeRead { record, index, lower, upper, seen }) => {
                // A row more than was seen is a difference: nobody has to count on.
                let rows_max = left.min(seen.rows);
                left -= rows_max;
                digest(rows, *record, *index, (lower, upper), rows_max)?.as_ref() == Some(seen)
            }
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The round in which the record under `key` was last written; 0 if there is none. One that has expired is there until it is
/// removed, which is a change like another.
fn last_write(rows: &dyn Rows, record: RecordId, key: &[u8]) -> Result<u64, Error> {
    Ok(rows.stored(record, key)?.map_or(0, |(round, _)| round))
}

/// The key of the plan's row at this place.
fn row_key(plan: &Plan, place: &After) -> Bytes {
    match (plan.index, place) {
        (Some(index), After::Row { index_key, key }) => layout::index_key(plan.record, index, index_key, key),
        (_, After::Row { key, .. } | After::Key(key)) => layout::record_key(plan.record, key),
    }
}

/// Over the rows in key order, whatever the direction in which they were read; `None` if there are more than `rows_max`.
fn digest(
    rows: &dyn Rows,
    record: RecordId,
    index: Option<IndexId>,
    (lower, upper): (&Bound<Bytes>, &Bound<Bytes>),
    rows_max: u64,
) -> Result<Option<Digest>, Error> {
    let mut hasher = blake3::Hasher::new();
    let mut count = 0;
    for row in rows.scan(as_slice(lower), as_slice(upper), false)? {
        let (row_key, row_value) = row?;
        count += 1;
        if count > rows_max {
            return Ok(None);
        }
        let round = match index {
            None => layout::split_record_value(&row_value).map(|(round, _)| round),
            Some(_) => match layout::split_index_row(&row_key, &row_value) {
                Some((_, key)) => Some(last_write(rows, record, &key)?),
                None => None,
            },
        };
        hasher.update(&(row_key.len() as u64).to_be_bytes()).update(&row_key);
        // A row that is of another kind than the bounds say has no round: it is as good as changed.
        hasher.update(&round.unwrap_or(u64::MAX).to_be_bytes());
    }
    let mut hash = [0; 16];
    hasher.finalize_xof().fill(&mut hash);
    Ok(Some(Digest { rows: count, hash }))
}
