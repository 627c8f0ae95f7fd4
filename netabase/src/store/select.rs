//! Executes a query plan over the rows of a view: a range of a record type or of one of its indexes.
//!
//! Keys and index keys are prefix-free, so "all rows with index key k" is one byte prefix, and a bound on an
//! index key becomes a bound on rows by taking or leaving everything that begins with it.

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use super::engine::StoreError;
use super::layout;
use super::scan::Scan;
use super::view::{Rows, View};
use crate::Error;
use crate::schema::{After, IndexId, Plan, RecordId};

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

impl View {
    /// The record under `key`, and the round of its last write.
    pub(crate) fn record(
        &self,
        record: RecordId,
        key: &[u8],
    ) -> Result<Option<(u64, Bytes)>, Error> {
        let Some(row) = self.get(&layout::record_key(record, key))? else {
            return Ok(None);
        };
        layout::split_record_value(&row)
            .map(Some)
            .ok_or_else(|| damaged("a record row is too short"))
    }

    /// The records that the plan selects, in its order.
    pub(crate) fn select(&self, plan: &Plan) -> Result<Select<'_>, Error> {
        Ok(Select {
            view: self,
            rows: self.scan_plan(plan)?,
            record: plan.record,
            over_index: plan.index.is_some(),
            left: plan.limit.unwrap_or(usize::MAX),
        })
    }

    /// How many records the plan selects. Decodes nothing; an index is counted without its records.
    pub(crate) fn count(&self, plan: &Plan) -> Result<u64, Error> {
        let mut count = 0;
        for row in self.scan_plan(plan)?.take(plan.limit.unwrap_or(usize::MAX)) {
            row?;
            count += 1;
        }
        Ok(count)
    }

    fn scan_plan(&self, plan: &Plan) -> Result<Scan<'_>, Error> {
        let (lower, upper) = match plan.index {
            None => record_bounds(plan),
            Some(index) => index_bounds(plan, index)?,
        };
        self.scan(as_slice(&lower), as_slice(&upper), plan.reverse)
    }
}

/// The records that a plan selects. Ends after the first error.
pub(crate) struct Select<'a> {
    view: &'a View,
    rows: Scan<'a>,
    record: RecordId,
    over_index: bool,
    left: usize,
}

impl Select<'_> {
    fn row(&self, row_key: &Bytes, row_value: &Bytes) -> Result<Row, Error> {
        if !self.over_index {
            let key = layout::split_record_key(row_key)
                .ok_or_else(|| damaged("a record key is too short"))?;
            let (round, value) = layout::split_record_value(row_value)
                .ok_or_else(|| damaged("a record row is too short"))?;
            return Ok(Row {
                key,
                index_key: None,
                round,
                value,
            });
        }
        let (index_key, key) = layout::split_index_row(row_key, row_value)
            .ok_or_else(|| damaged("an index row is too short"))?;
        let (round, value) = self
            .view
            .record(self.record, &key)?
            .ok_or_else(|| damaged("an index row names a record that is not there"))?;
        Ok(Row {
            key,
            index_key: Some(index_key),
            round,
            value,
        })
    }
}

impl Iterator for Select<'_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let row = self
            .rows
            .next()?
            .and_then(|(key, value)| self.row(&key, &value));
        if row.is_err() {
            self.left = 0;
        }
        Some(row)
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("record", &self.record)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

type Bounds = (Bound<Bytes>, Bound<Bytes>);

fn record_bounds(plan: &Plan) -> Bounds {
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

fn index_bounds(plan: &Plan, index: IndexId) -> Result<Bounds, Error> {
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
    match &plan.after {
        None => {}
        Some(After::Row { index_key, key }) => {
            let row = layout::index_key(plan.record, index, index_key, key);
            start_after(row, plan.reverse, &mut lower, &mut upper);
        }
        // A primary key alone is no place in an index: the record may have moved there, or be gone.
        Some(After::Key(_)) => {
            return Err(Error::Configuration {
                option: "after",
                reason: "a query by an index continues after a record, not after a key: use `after_record(&last)`"
                    .to_owned(),
            });
        }
    }
    Ok((lower, upper))
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

fn as_slice(bound: &Bound<Bytes>) -> Bound<&[u8]> {
    bound.as_ref().map(|bytes| &bytes[..])
}

fn damaged(what: &str) -> Error {
    StoreError::Damaged(what.to_owned()).into()
}
