//! The rule: what a write does, as a pure function of the rows before it.
//!
//! Reader + write -> write set + outcome. A record and its index rows change together or not at all; a
//! refused write changes nothing. The same on every node: no clock, no randomness, no iteration over
//! anything unordered. It errs only if the rows cannot be read.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Error;
use crate::command::{Applied, Outcome, Refusal, Write};
use crate::schema::{Catalog, IndexId, RecordGlue, RecordId, RecordRows};
use crate::storage::{Change, Rows, WriteSet, layout};

/// The rule of one schema: its record types, with the ids of their indexes at hand.
#[derive(Debug)]
pub(crate) struct Rule {
    records: BTreeMap<RecordId, RecordType>,
}

#[derive(Debug)]
struct RecordType {
    id: RecordId,
    glue: &'static RecordGlue,
    /// In the order of the glue's.
    indexes: Vec<Index>,
}

#[derive(Debug)]
struct Index {
    id: IndexId,
    unique: bool,
}

impl Rule {
    pub(crate) fn new(catalog: &Catalog) -> Rule {
        let index = |index: &crate::schema::IndexGlue| Index { id: IndexId::named(index.name), unique: index.unique };
        let record = |(id, glue): (RecordId, &'static RecordGlue)| {
            (id, RecordType { id, glue, indexes: glue.indexes.iter().map(index).collect() })
        };
        Rule { records: catalog.records().map(record).collect() }
    }

    /// What `write` does in `round` to `rows`.
    pub(crate) fn apply(&self, rows: &dyn Rows, write: &Write, round: u64) -> Result<(WriteSet, Outcome), Error> {
        let record = write.record();
        let Some(record_type) = self.records.get(&record) else {
            return Ok((WriteSet::default(), Err(Refusal::UnknownRecord { record })));
        };
        let mut changes = WriteSet::default();
        let outcome = match write {
            Write::Put { value, .. } => record_type.put(rows, value, round, true, &mut changes)?,
            Write::Insert { value, .. } => record_type.put(rows, value, round, false, &mut changes)?,
            Write::Remove { key, .. } => record_type.remove(rows, key, round, &mut changes)?,
        };
        let nothing = changes.rows.is_empty() && changes.change.is_none();
        debug_assert!(outcome.is_ok() || nothing, "a refused write changes nothing");
        Ok((changes, outcome))
    }
}

impl RecordType {
    fn put(
        &self,
        rows: &dyn Rows,
        value: &[u8],
        round: u64,
        may_replace: bool,
        changes: &mut WriteSet,
    ) -> Result<Outcome, Error> {
        let record = self.id;
        let new = match self.rows_of(value) {
            Ok(new) => new,
            Err(reason) => return Ok(Err(Refusal::undecodable(record, reason))),
        };
        let row_key = layout::record_key(record, &new.key);
        let old_row = rows.get(&row_key)?;
        let existed = old_row.is_some();
        if existed && !may_replace {
            return Ok(Err(Refusal::AlreadyExists { record }));
        }
        let old_keys = match old_row.as_ref().map(|row| self.stored_index_keys(&new.key, row)) {
            None => Vec::new(),
            Some(Ok(old_keys)) => old_keys,
            Some(Err(reason)) => return Ok(Err(Refusal::undecodable(record, reason))),
        };

        let old_keys = old_keys.iter().map(Option::as_deref).chain(std::iter::repeat(None));
        let changed: Vec<_> = self
            .indexes
            .iter()
            .zip(old_keys.zip(new.index_keys.iter().map(Option::as_deref)))
            .filter(|(_, (old, new))| old != new)
            .collect();
        for (index, (_, new_key)) in &changed {
            // A unique key that the record had already is not asked about: it is its own.
            if let Some(new_key) = new_key.filter(|_| index.unique)
                && self.is_taken(rows, index.id, new_key)?
            {
                return Ok(Err(Refusal::UniqueViolation { record, index: index.id }));
            }
        }

        changes.rows.reserve_exact(1 + 2 * changed.len());
        let new_row = layout::record_value(round, value);
        changes.change = Some(self.change(&row_key, old_row.as_ref(), Some(&new_row)));
        changes.replace(row_key, old_row.as_deref(), Some(new_row));
        for (index, (old_key, new_key)) in changed {
            if let Some(old_key) = old_key {
                let row_key = layout::index_key(record, index.id, old_key, &new.key);
                changes.replace(row_key, Some(&layout::index_value(old_key)), None);
            }
            if let Some(new_key) = new_key {
                let row_key = layout::index_key(record, index.id, new_key, &new.key);
                changes.replace(row_key, None, Some(layout::index_value(new_key)));
            }
        }
        Ok(Ok(Applied { round, existed }))
    }

    fn remove(&self, rows: &dyn Rows, key: &[u8], round: u64, changes: &mut WriteSet) -> Result<Outcome, Error> {
        let row_key = layout::record_key(self.id, key);
        let Some(row) = rows.get(&row_key)? else {
            return Ok(Ok(Applied { round, existed: false }));
        };
        let index_keys = match self.stored_index_keys(key, &row) {
            Ok(index_keys) => index_keys,
            Err(reason) => return Ok(Err(Refusal::undecodable(self.id, reason))),
        };
        changes.change = Some(self.change(&row_key, Some(&row), None));
        changes.replace(row_key, Some(&row), None);
        for (index, index_key) in self.indexes.iter().zip(&index_keys) {
            if let Some(index_key) = index_key {
                let row_key = layout::index_key(self.id, index.id, index_key, key);
                changes.replace(row_key, Some(&layout::index_value(index_key)), None);
            }
        }
        Ok(Ok(Applied { round, existed: true }))
    }

    /// What is told to those who watch the record; shares the memory of its rows.
    fn change(&self, row_key: &Bytes, old_row: Option<&Bytes>, new_row: Option<&Bytes>) -> Change {
        Change {
            record: self.id,
            key: layout::split_record_key(row_key).unwrap_or_default(),
            // A row too short to hold a record is none that anybody could be told of.
            before: old_row.and_then(layout::split_record_value),
            after: new_row.and_then(layout::split_record_value).map(|(_, value)| value),
        }
    }

    /// The index keys of the record in `row`, stored under `key`. Decodes nothing if there are no indexes.
    fn stored_index_keys(&self, key: &[u8], row: &Bytes) -> Result<Vec<Option<Vec<u8>>>, String> {
        if self.indexes.is_empty() {
            return Ok(Vec::new());
        }
        let (_, value) = layout::split_record_value(row).ok_or("the stored record's row is too short")?;
        let stored = self.rows_of(&value).map_err(|reason| format!("the stored record: {reason}"))?;
        if stored.key != key {
            // Its index rows would be looked for under the wrong key, and stay.
            return Err("the stored record has another key than its row".to_owned());
        }
        Ok(stored.index_keys)
    }

    fn rows_of(&self, value: &[u8]) -> Result<RecordRows, String> {
        let rows = (self.glue.rows)(value)?;
        if rows.index_keys.len() != self.indexes.len() {
            return Err("the record type gave another number of index keys than it has indexes".to_owned());
        }
        Ok(rows)
    }

    fn is_taken(&self, rows: &dyn Rows, index: IndexId, index_key: &[u8]) -> Result<bool, Error> {
        let prefix = layout::index_key_prefix(self.id, index, index_key);
        Ok(rows.scan_prefix(&prefix)?.next().transpose()?.is_some())
    }
}

#[cfg(test)]
mod tests;
