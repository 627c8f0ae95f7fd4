//! Executes a query plan over the rows of a view: a range of a record type or of one of its indexes.
//!
//! Keys and index keys are prefix-free, so "all rows with index key k" is one byte prefix, and a bound on an
//! index key becomes a bound on rows by taking or leaving everything that begins with it.

mod pages;

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

pub(crate) use self::pages::{PAGE_BYTES, PAGE_HIDDEN, PAGE_ROWS, Pages};
use super::engine::StoreError;
use super::layout;
use super::scan::Scan;
use super::view::Rows;
use crate::Error;
use crate::schema::{After, IndexId, Plan, RecordGlue, RecordId, expiry_key, expiry_of_key};

/// A record that a plan selected, in its encoded form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Bytes,
    /// The index key under which it was found, when the plan is over an index.
    pub(crate) index_key: Option<Bytes>,
    /// The round of the record's last write.
    pub(crate) round: u64,
    /// The stored value, as `Record::__decode` takes it.
    pub(crate) value: Bytes,
}

impl Row {
    /// The place behind which a plan goes on that has given this row: that of the row, since its record may be gone or have
    /// moved by then.
    pub(crate) fn place(&self) -> After {
        let key = self.key.to_vec();
        match &self.index_key {
            None => After::Key(key),
            Some(index_key) => After::Row { index_key: index_key.to_vec(), key },
        }
    }
}

/// What rows are asked for by plan: the same code over a view, a round half applied and a transaction.
pub(crate) trait Selecting: Rows {
    /// The record under `key`, and the round of its last write; `None`, if it has expired. `glue` is that of its type.
    fn record(&self, record: RecordId, glue: &RecordGlue, key: &[u8]) -> Result<Option<(u64, Bytes)>, Error> {
        let stored = self.stored(record, key)?;
        let Some(now_ms) = self.read_at_ms().filter(|_| glue.expires()) else { return Ok(stored) };
        Ok(stored.filter(|(_, value)| !glue.has_expired(value, now_ms)))
    }

    /// The record under `key`, also when it has expired and is not removed yet.
    fn stored(&self, record: RecordId, key: &[u8]) -> Result<Option<(u64, Bytes)>, Error> {
        let Some(row) = self.get(&layout::record_key(record, key))? else {
            return Ok(None);
        };
        layout::split_record_value(&row).map(Some).ok_or_else(|| damaged("a record row is too short"))
    }

    /// The clock of what expires, in milliseconds since 1970: no record is there that had expired by it.
    fn clock_ms(&self) -> Result<u64, Error> {
        let Some(row) = self.get(&layout::clock_key())? else { return Ok(0) };
        layout::split_clock_row(&row).ok_or_else(|| damaged("the clock of what expires does not decode"))
    }

    /// The first records of this type that have expired by then and are not removed yet, so many at most: of each, when it
    /// did, and its key. In that order, behind all of the instant `after_ms`, or behind one key of it.
    ///
    /// What the clock has passed is never looked at. Rows that were removed lie there in the overlays until they are flushed,
    /// and a scan from the start of the index would go over them for each step of a sweep and each query during it.
    /// Of an instant of which only some are removed they are still gone over, as the clock cannot say how far in it they
    /// reach: those since the last flush, some 25,000 to its 16 MiB, a few milliseconds of a look.
    fn due(
        &self,
        record: RecordId,
        (after_ms, after_key): (u64, Option<&Bytes>),
        now_ms: u64,
        rows_max: usize,
    ) -> Result<Vec<(u64, Bytes)>, Error> {
        let at = |ms: u64| layout::index_key_prefix(record, IndexId::expiry(), &expiry_key(ms));
        let lower = match after_key {
            Some(key) => Bound::Excluded(layout::index_key(record, IndexId::expiry(), &expiry_key(after_ms), key)),
            None => from_successor(&at(after_ms)),
        };
        let upper = layout::successor(&at(now_ms));
        let rows = self.scan(as_slice(&lower), as_slice(&upper), false)?.take(rows_max);
        rows.map(|row| row.and_then(|(row_key, row_value)| expiry_row(&row_key, &row_value))).collect()
    }

    /// Whether any record of this type has expired by then and is not removed yet.
    fn is_due(&self, record: RecordId, now_ms: u64) -> Result<bool, Error> {
        Ok(!self.due(record, (self.clock_ms()?, None), now_ms, 1)?.is_empty())
    }

    /// By when records have expired that are not to be read, if any of this type has by then: mostly all that have are
    /// removed, and then no value has to be looked at.
    fn hides(&self, record: RecordId, glue: &RecordGlue) -> Result<Option<u64>, Error> {
        let Some(now_ms) = self.read_at_ms().filter(|_| glue.expires()) else { return Ok(None) };
        Ok(self.is_due(record, now_ms)?.then_some(now_ms))
    }

    /// The records that the plan selects, in its order. `glue` is that of its record type.
    fn select(&self, plan: &Plan, glue: &RecordGlue) -> Result<Select<'_, Self>, Error> {
        Ok(Select {
            source: self,
            rows: self.scan_plan(plan, glue)?,
            record: plan.record,
            over_index: plan.index.is_some(),
            hides: self.hides(plan.record, glue)?.map(|now_ms| (now_ms, *glue)),
            left: plan.limit.unwrap_or(usize::MAX),
            hidden_left: usize::MAX,
            cut: None,
        })
    }

    /// How many records the plan selects. Decodes nothing, unless some have expired and are not removed yet; an index is
    /// counted without its records.
    fn count(&self, plan: &Plan, glue: &RecordGlue) -> Result<u64, Error> {
        let mut count = 0;
        if self.hides(plan.record, glue)?.is_some() {
            for row in self.select(plan, glue)? {
                row?;
                count += 1;
            }
            return Ok(count);
        }
        for row in self.scan_plan(plan, glue)?.take(plan.limit.unwrap_or(usize::MAX)) {
            row?;
            count += 1;
        }
        Ok(count)
    }

    /// The rows that the plan reads: of the record type, or of its index.
    fn scan_plan(&self, plan: &Plan, glue: &RecordGlue) -> Result<Scan<'_>, Error> {
        let (lower, upper) = self.plan_bounds(plan, glue)?;
        self.scan(as_slice(&lower), as_slice(&upper), plan.reverse)
    }

    /// Between which rows the plan reads.
    fn plan_bounds(&self, plan: &Plan, glue: &RecordGlue) -> Result<RowBounds, Error> {
        Ok(match plan.index {
            None => record_bounds(plan),
            Some(index) => {
                self.expect_whole(plan.record, index, glue)?;
                index_bounds(plan, index, self.row_before(plan, index, glue)?)
            }
        })
    }

    /// Errs where an index that only some versions have does not hold every record.
    fn expect_whole(&self, record: RecordId, index: IndexId, glue: &RecordGlue) -> Result<(), Error> {
        if glue.before.is_none() {
            return Ok(());
        }
        let Some((floor, active)) = self.versions_of(record)? else { return Ok(()) };
        if glue.is_index_whole(index, floor, active) { Ok(()) } else { Err(not_ready(glue, index)) }
    }

    /// By which version of its record type a plan is carried out that another program made: whose index is that of the version
    /// in which records are written, which both know. `None`: the index is unknown.
    fn glue_of<'g>(&self, plan: &Plan, newest: &'g RecordGlue) -> Result<Option<&'g RecordGlue>, Error> {
        let Some(index) = plan.index else { return Ok(Some(newest)) };
        let stored = self.versions_of(plan.record)?;
        let Some(glue) = newest.for_index(index, stored.map(|(_, active)| active)) else { return Ok(None) };
        match stored {
            // One that is not written any more, and of which later values tell nothing.
            Some((_, active)) if glue.at(active).is_none() => Err(not_ready(glue, index)),
            _ => Ok(Some(glue)),
        }
    }

    /// Between which versions the rows of a record type are; `None`, if it is not written.
    fn versions_of(&self, record: RecordId) -> Result<Option<(u8, u8)>, Error> {
        let row = self.get(&layout::version_key(record))?;
        row.map(|row| layout::split_versions(&row).ok_or_else(|| damaged("a record type's versions do not decode")))
            .transpose()
    }

    /// The index row behind which the plan goes on.
    fn row_before(&self, plan: &Plan, index: IndexId, glue: &RecordGlue) -> Result<Option<Bytes>, Error> {
        let row = |index_key: &[u8], key: &[u8]| Some(layout::index_key(plan.record, index, index_key, key));
        match &plan.after {
            None => Ok(None),
            Some(After::Row { index_key, key }) => Ok(row(index_key, key)),
            Some(After::Key(key)) => {
                let index_key = match self.stored(plan.record, key)? {
                    Some((_, value)) => index_key_of(glue, index, &value)?,
                    None => None,
                };
                // Without the record, its key says nothing about a place in the index.
                let index_key = index_key.ok_or_else(|| Error::Configuration {
                    option: "after",
                    reason: format!(
                        "no `{}` with this key is in the index now, so the query cannot go on behind it: \
                         use `after_record(&last)`",
                        glue.name
                    ),
                })?;
                Ok(row(&index_key, key))
            }
        }
    }
}

impl<R: Rows + ?Sized> Selecting for R {}

/// When the record of a row of the index over that expires, and its key.
fn expiry_row(row_key: &Bytes, row_value: &[u8]) -> Result<(u64, Bytes), Error> {
    let split = layout::split_index_row(row_key, row_value);
    let expiry = split.and_then(|(index_key, key)| Some((expiry_of_key(&index_key)?, key)));
    expiry.ok_or_else(|| damaged("a row of an index over expiry does not say when"))
}

fn not_ready(glue: &RecordGlue, index: IndexId) -> Error {
    let name = glue.of_index(index).and_then(|glue| glue.index(index)).map_or("?", |index| index.name);
    Error::IndexNotReady { record: glue.name.to_owned(), index: name.to_owned() }
}

fn index_key_of(glue: &RecordGlue, index: IndexId, value: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let (stored, rows) =
        glue.rows_as_stored(value).map_err(|reason| Error::Codec { record: glue.name.to_owned(), reason })?;
    let position = stored.indexes.iter().position(|glue| IndexId::named(glue.name) == index);
    Ok(position.and_then(|position| rows.index_keys.into_iter().nth(position)).flatten())
}

/// The records that a plan selects. Ends after the first error.
pub(crate) struct Select<'a, R: ?Sized> {
    source: &'a R,
    rows: Scan<'a>,
    record: RecordId,
    over_index: bool,
    /// Some have expired by then.
    hides: Option<(u64, RecordGlue)>,
    left: usize,
    /// How many that have it still goes past.
    hidden_left: usize,
    cut: Option<After>,
}

impl<R: Rows + ?Sized> Select<'_, R> {
    /// Ends for now when it has gone past so many records that have expired: whoever reads a page waits for them, too.
    pub(crate) fn within_a_page(self) -> Self {
        Select { hidden_left: PAGE_HIDDEN, ..self }
    }

    /// Behind which place it goes on, if it ended for that.
    pub(crate) fn cut(&self) -> Option<&After> {
        self.cut.as_ref()
    }

    fn row(&self, row_key: &Bytes, row_value: &Bytes) -> Result<Row, Error> {
        if !self.over_index {
            let key = layout::split_record_key(row_key).ok_or_else(|| damaged("a record key is too short"))?;
            let (round, value) =
                layout::split_record_value(row_value).ok_or_else(|| damaged("a record row is too short"))?;
            return Ok(Row { key, index_key: None, round, value });
        }
        let (index_key, key) =
            layout::split_index_row(row_key, row_value).ok_or_else(|| damaged("an index row is too short"))?;
        let (round, value) = self
            .source
            .stored(self.record, &key)?
            .ok_or_else(|| damaged("an index row names a record that is not there"))?;
        Ok(Row { key, index_key: Some(index_key), round, value })
    }
}

impl<R: Rows + ?Sized> Iterator for Select<'_, R> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        loop {
            let row = self.rows.next()?.and_then(|(key, value)| self.row(&key, &value));
            match (&row, &self.hides) {
                (Ok(row), Some((now_ms, glue))) if glue.has_expired(&row.value, *now_ms) => {
                    self.hidden_left -= 1;
                    if self.hidden_left == 0 {
                        (self.left, self.cut) = (0, Some(row.place()));
                        return None;
                    }
                    continue;
                }
                (Ok(_), _) => {}
                (Err(_), _) => self.left = 0,
            }
            return Some(row);
        }
    }
}

impl<R: ?Sized> fmt::Debug for Select<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("record", &self.record).field("left", &self.left).finish_non_exhaustive()
    }
}

/// Between which rows something lies.
pub(crate) type RowBounds = (Bound<Bytes>, Bound<Bytes>);

fn record_bounds(plan: &Plan) -> RowBounds {
    let prefix = layout::record_prefix(plan.record);
    let row = |key: &Vec<u8>| layout::record_key(plan.record, key);
    let mut lower = match &plan.lower {
        Bound::Unbounded => Bound::Included(Bytes::copy_from_slice(&prefix)),
        bound => bound.as_ref().map(row),
    };
    let mut upper = match &plan.upper {
        Bound::Unbounded => layout::successor(&prefix),
        bound => bound.as_ref().map(row),
    };
    if let Some(After::Key(key) | After::Row { key, .. }) = &plan.after {
        start_after(row(key), plan.reverse, &mut lower, &mut upper);
    }
    (lower, upper)
}

fn index_bounds(plan: &Plan, index: IndexId, after: Option<Bytes>) -> RowBounds {
    let prefix = layout::index_prefix(plan.record, index);
    let rows_with = |index_key: &Vec<u8>| layout::index_key_prefix(plan.record, index, index_key);
    let mut lower = match &plan.lower {
        Bound::Unbounded => Bound::Included(Bytes::copy_from_slice(&prefix)),
        Bound::Included(index_key) => Bound::Included(rows_with(index_key)),
        // Above every row with this index key, whatever its primary key.
        Bound::Excluded(index_key) => from_successor(&rows_with(index_key)),
    };
    let mut upper = match &plan.upper {
        Bound::Unbounded => layout::successor(&prefix),
        Bound::Included(index_key) => layout::successor(&rows_with(index_key)),
        Bound::Excluded(index_key) => Bound::Excluded(rows_with(index_key)),
    };
    if let Some(row) = after {
        start_after(row, plan.reverse, &mut lower, &mut upper);
    }
    (lower, upper)
}

/// The lower bound that leaves out everything that begins with `prefix`.
fn from_successor(prefix: &[u8]) -> Bound<Bytes> {
    match layout::successor(prefix) {
        Bound::Excluded(above) => Bound::Included(above),
        other => other,
    }
}

/// Moves the bound at which the scan starts behind `row`, unless it is there already.
fn start_after(row: Bytes, reverse: bool, lower: &mut Bound<Bytes>, upper: &mut Bound<Bytes>) {
    let bound = if reverse { upper } else { lower };
    let moves = match &*bound {
        Bound::Unbounded => true,
        Bound::Included(at) | Bound::Excluded(at) if reverse => row <= *at,
        Bound::Included(at) | Bound::Excluded(at) => row >= *at,
    };
    if moves {
        *bound = Bound::Excluded(row);
    }
}

pub(crate) fn as_slice(bound: &Bound<Bytes>) -> Bound<&[u8]> {
    bound.as_ref().map(|bytes| &bytes[..])
}

fn damaged(what: &str) -> Error {
    StoreError::Damaged(what.to_owned()).into()
}

#[cfg(test)]
mod tests;
