//! Whether records and indexes still say the same, and are what was written: a walk over all rows, reading only.

use std::collections::BTreeMap;

use super::versions::Versions;
use crate::Error;
use crate::schema::{Catalog, IndexGlue, IndexId, RecordGlue, RecordId, expiry_of_key};
use crate::storage::{Rows, Selecting, StoreError, Sum, View, layout};

/// What was found to be in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Records that decode, each under its own key and in each of its indexes.
    pub records: u64,
    /// Rows of indexes, each of which names a record that has that value.
    pub index_rows: u64,
}

/// Walks over every record and every index row, and holds all rows against the sum that was kept up with the writes. The
/// first thing that is wrong is the error.
pub(crate) fn verify(view: &View, catalog: &Catalog) -> Result<Verified, Error> {
    let verified = consistent(view, catalog)?;
    if Sum::of_view(view)? != view.sum() {
        return Err(damaged("its rows are not those that were written: their checksum is another one".to_owned()));
    }
    Ok(verified)
}

/// Whether records and indexes say the same.
fn consistent(rows: &dyn Rows, catalog: &Catalog) -> Result<Verified, Error> {
    let mut verified = Verified { records: 0, index_rows: 0 };
    let versions = Versions::load(rows)?;
    for (record, glue) in catalog.records() {
        let Some(stored) = versions.get(record) else { continue };
        let expected = records(rows, record, glue, &mut verified)?;
        // Of several versions a row has the indexes of its own.
        let in_use = || glue.versions().filter(|glue| (stored.floor..=stored.active).contains(&glue.version));
        let indexes: BTreeMap<IndexId, &IndexGlue> =
            in_use().flat_map(|glue| glue.indexes).map(|index| (IndexId::named(index.name), index)).collect();
        for (&id, index) in &indexes {
            let unique = in_use().all(|glue| glue.index(id).is_some_and(|index| index.unique));
            let found = index_rows(rows, record, id, unique)
                .map_err(|what| damaged(format!("the index `{}` of `{}` {what}", index.name, glue.name)))?;
            // Every record is in it where it should be, so a different number is a row too many.
            let expected = expected.get(&id).copied().unwrap_or(0);
            if found != expected {
                return Err(damaged(format!(
                    "the index `{}` of `{}` has {found} rows for {expected} records",
                    index.name, glue.name
                )));
            }
            verified.index_rows += found;
        }
    }
    Ok(verified)
}

/// Looks at every record of a type; gives how many rows each index must have.
fn records(
    rows: &dyn Rows,
    record: RecordId,
    glue: &RecordGlue,
    verified: &mut Verified,
) -> Result<BTreeMap<IndexId, u64>, Error> {
    let mut expected = BTreeMap::new();
    let clock_ms = rows.clock_ms()?;
    let wrong = |what: String| damaged(format!("a `{}` {what}", glue.name));
    for row in rows.scan_prefix(&layout::record_prefix(record))? {
        let (row_key, row_value) = row?;
        let key = layout::split_record_key(&row_key).ok_or_else(|| wrong("has too short a key".into()))?;
        let (_, value) = layout::split_record_value(&row_value).ok_or_else(|| wrong("is cut off".into()))?;
        let (glue, stored) =
            glue.rows_as_stored(&value).map_err(|reason| wrong(format!("does not decode: {reason}")))?;
        if stored.key != key {
            return Err(wrong("lies under another key than its own".into()));
        }
        for (index, index_key) in glue.indexes.iter().zip(&stored.index_keys) {
            let Some(index_key) = index_key else { continue };
            let id = IndexId::named(index.name);
            if rows.get(&layout::index_key(record, id, index_key, &key))? != Some(layout::index_value(index_key)) {
                return Err(wrong(format!("is not in its index `{}`", index.name)));
            }
            if index.is_expiry() && expiry_of_key(index_key).is_none_or(|expires_at_ms| expires_at_ms <= clock_ms) {
                return Err(wrong("is still here after it was to be removed".into()));
            }
            *expected.entry(id).or_insert(0) += 1;
        }
        verified.records += 1;
    }
    Ok(expected)
}

/// How many rows an index has; of a unique one, no two with one value.
fn index_rows(rows: &dyn Rows, record: RecordId, index: IndexId, unique: bool) -> Result<u64, String> {
    let mut found = 0;
    let mut before = None;
    for row in rows.scan_prefix(&layout::index_prefix(record, index)).map_err(|error| error.to_string())? {
        let (row_key, row_value) = row.map_err(|error| error.to_string())?;
        let (index_key, _) = layout::split_index_row(&row_key, &row_value).ok_or("has a row that is cut off")?;
        if unique && before.as_ref() == Some(&index_key) {
            return Err("is unique and has one value twice".to_owned());
        }
        before = Some(index_key);
        found += 1;
    }
    Ok(found)
}

fn damaged(what: String) -> Error {
    StoreError::Damaged(what).into()
}

#[cfg(test)]
mod tests;
