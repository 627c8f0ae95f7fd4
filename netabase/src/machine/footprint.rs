//! What a transaction read: noted where it runs, and looked at again in `apply`.
//!
//! Must hold: whatever the closure could learn is noted, a refusal of a write too; what is noted and what is judged is
//! one code over the same rows, so that they differ only if the rows do. A row counts with the round of its record's last
//! write: a record that was changed and changed back was changed. One that had expired when it was read, and was shown to
//! nobody, counts as one that is removed: its sweep changes nothing. Own writes of the transaction are not noted.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::Error;
use crate::command::{Digest, HIDDEN_ROWS_MAX, RANGE_ROWS_MAX, RangeRead, Read, Refusal, Write};
use crate::schema::{After, IndexId, Plan, RecordGlue, RecordId};
use crate::storage::{Branch, Row, Rows, Selecting, as_slice, layout};

/// The reads of a transaction so far.
#[derive(Debug)]
pub(crate) struct Footprint {
    records: BTreeMap<(RecordId, Bytes), Seen>,
    ranges: Vec<RangeRead>,
    left: Left,
}

/// What there was under a key.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The round of the last write; 0: there was nothing.
    round: u64,
    /// It had expired, and nothing tells that it was there.
    hidden: bool,
}

/// How many rows ranges may still hold: of those that are shown, and of those that are not.
#[derive(Clone, Copy, Debug)]
struct Left {
    shown: u64,
    hidden: u64,
}

impl Left {
    const ALL: Left = Left { shown: RANGE_ROWS_MAX, hidden: HIDDEN_ROWS_MAX };
}

/// How much of a plan is read.
pub(crate) enum Extent<'a> {
    All,
    /// Up to the row of which this says that it is the last one, or fewer: see [`Pages`](crate::storage::Pages).
    Page(&'a mut dyn FnMut(&Row) -> bool),
}

impl Default for Footprint {
    fn default() -> Self {
        Footprint { records: BTreeMap::new(), ranges: Vec::new(), left: Left::ALL }
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
        self.note_record(branch, record, Some(glue), key)?;
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
            self.note_record(branch, plan.record, None, key)?;
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
        let hidden_by_ms = branch.read_at_ms().filter(|_| glue.expires()).unwrap_or(0);
        let read = Range { record: plan.record, index: plan.index, lower, upper, hides: Some((hidden_by_ms, glue)) };
        self.note_range(branch, read)?;
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
            Refusal::AlreadyExists { .. } => self.note_record(branch, record, None, &rows.key),
            Refusal::UniqueViolation { index, .. } => {
                let position = glue.indexes.iter().position(|known| IndexId::named(known.name) == *index);
                let index_key = position.and_then(|position| rows.index_keys.into_iter().nth(position)).flatten();
                let Some(index_key) = index_key else { return Ok(()) };
                // Whether the record has that value already was looked at, too.
                self.note_record(branch, record, None, &rows.key)?;
                let prefix = layout::index_key_prefix(record, *index, &index_key);
                let upper = layout::successor(&prefix);
                // What refused it is in it, also if it is shown to nobody.
                let (lower, index) = (Bound::Included(prefix), Some(*index));
                self.note_range(branch, Range { record, index, lower, upper, hides: None })
            }
            _ => Ok(()),
        }
    }

    /// All that was read.
    pub(crate) fn into_reads(self) -> Vec<Read> {
        let records = self.records.into_iter().map(|((record, key), Seen { round, hidden })| {
            if hidden { Read::Hidden { record, key, round } } else { Read::Record { record, key, round } }
        });
        records.chain(self.ranges.into_iter().map(Read::Range)).collect()
    }

    /// `glue`: of the type of a record that is read; none, where more than that tells of it.
    fn note_record(
        &mut self,
        branch: &Branch,
        record: RecordId,
        glue: Option<&RecordGlue>,
        key: &[u8],
    ) -> Result<(), Error> {
        let stored = branch.below().stored(record, key)?;
        let by = glue.filter(|glue| glue.expires()).zip(branch.read_at_ms());
        let has_expired = |value: &Bytes| by.is_some_and(|(glue, now_ms)| glue.has_expired(value, now_ms));
        let mut seen = stored
            .map_or(Seen { round: 0, hidden: false }, |(round, value)| Seen { round, hidden: has_expired(&value) });
        let place = (record, Bytes::copy_from_slice(key));
        seen.hidden &= self.records.get(&place).is_none_or(|before| before.hidden);
        self.records.insert(place, seen);
        Ok(())
    }

    fn note_range(&mut self, branch: &Branch, range: Range<'_>) -> Result<(), Error> {
        let mut left = self.left;
        let seen = digest(branch.below(), &range, &mut left)?;
        let seen = seen.ok_or_else(|| Error::TransactionTooLarge {
            reason: format!(
                "its queries read more than {RANGE_ROWS_MAX} rows, or go past more than {HIDDEN_ROWS_MAX} that have \
                 expired, each of which is looked at again when it commits: give them a `limit`, or read with `db.query`"
            ),
        })?;
        self.left = left;
        let Range { record, index, lower, upper, hides } = range;
        let hidden_by_ms = hides.map_or(0, |(now_ms, _)| now_ms);
        self.ranges.push(RangeRead { record, index, lower, upper, hidden_by_ms, seen });
        Ok(())
    }
}

/// Whether all of it still stands. `glue_of`: of the newest version of a record type. What has expired goes by the version in
/// which a row is stored, so nodes that know different ones judge alike.
pub(super) fn holds<'g>(
    rows: &dyn Rows,
    reads: &[Read],
    glue_of: impl Fn(RecordId) -> Option<&'g RecordGlue>,
) -> Result<bool, Error> {
    let mut left = Left::ALL;
    for read in reads {
        let same = match read {
            Read::Record { record, key, round } => last_write(rows, *record, key)? == *round,
            Read::Hidden { record, key, round } => [0, *round].contains(&last_write(rows, *record, key)?),
            Read::Range(RangeRead { record, index, lower, upper, hidden_by_ms, seen }) => {
                let (lower, upper) = (lower.clone(), upper.clone());
                let hides = glue_of(*record).map(|glue| (*hidden_by_ms, glue));
                // A row more than was seen is a difference: nobody has to count on.
                let mut most = Left { shown: left.shown.min(seen.rows), ..left };
                left.shown -= most.shown;
                let found = digest(rows, &Range { record: *record, index: *index, lower, upper, hides }, &mut most)?;
                left.hidden = most.hidden;
                found.as_ref() == Some(seen)
            }
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The round in which the record under `key` was last written; 0 if there is none.
fn last_write(rows: &dyn Rows, record: RecordId, key: &[u8]) -> Result<u64, Error> {
    Ok(rows.stored(record, key)?.map_or(0, |(round, _)| round))
}

/// Rows between two bounds.
struct Range<'g> {
    record: RecordId,
    index: Option<IndexId>,
    lower: Bound<Bytes>,
    upper: Bound<Bytes>,
    /// Those that had expired by then are not in it, as the glue says of them.
    hides: Option<(u64, &'g RecordGlue)>,
}

/// The key of the plan's row at this place.
fn row_key(plan: &Plan, place: &After) -> Bytes {
    match (plan.index, place) {
        (Some(index), After::Row { index_key, key }) => layout::index_key(plan.record, index, index_key, key),
        (_, After::Row { key, .. } | After::Key(key)) => layout::record_key(plan.record, key),
    }
}

/// Over the rows in key order, whatever the direction in which they were read; `None` if there are more than may be.
fn digest(rows: &dyn Rows, range: &Range<'_>, left: &mut Left) -> Result<Option<Digest>, Error> {
    let Range { record, index, lower, upper, hides } = range;
    let hides = match hides {
        // Mostly there is none of them, and then no value has to be looked at.
        Some((now_ms, glue)) if *now_ms > 0 && rows.is_due(*record, *now_ms)? => Some((*now_ms, *glue)),
        _ => None,
    };
    let mut hasher = blake3::Hasher::new();
    let mut count = 0;
    for row in rows.scan(as_slice(lower), as_slice(upper), false)? {
        let (row_key, row_value) = row?;
        let stored = match index {
            None => layout::split_record_value(&row_value),
            Some(_) => match layout::split_index_row(&row_key, &row_value) {
                Some((_, key)) => Some(rows.stored(*record, &key)?.unwrap_or_default()),
                None => None,
            },
        };
        let has_expired =
            |(_, value): &(u64, Bytes)| hides.is_some_and(|(now_ms, glue)| glue.has_expired(value, now_ms));
        let is_hidden = stored.as_ref().is_some_and(has_expired);
        let kind = if is_hidden { &mut left.hidden } else { &mut left.shown };
        let Some(rest) = kind.checked_sub(1) else { return Ok(None) };
        *kind = rest;
        if is_hidden {
            continue;
        }
        count += 1;
        hasher.update(&(row_key.len() as u64).to_be_bytes()).update(&row_key);
        // A row that is of another kind than the bounds say has no round: it is as good as changed.
        hasher.update(&stored.map_or(u64::MAX, |(round, _)| round).to_be_bytes());
    }
    let mut hash = [0; 16];
    hasher.finalize_xof().fill(&mut hash);
    Ok(Some(Digest { rows: count, hash }))
}
