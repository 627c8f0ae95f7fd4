//! Going over to a later version of a record type: from one round on it is the one that is written, and rows follow.
//!
//! Must hold: the version rises and rows are converted by the same action, so that whoever asks for it, and how often, does
//! not matter; the schema that the store says it holds is that of what is written in it.

use std::collections::BTreeSet;

use super::convert;
use super::rule::Rule;
use super::schema::descriptor_row;
use super::versions::{self, Stored, Versions};
use crate::Error;
use crate::schema::{Catalog, RecordId};
use crate::storage::{Draft, Rows, WriteSet, layout};

/// Brings a record type to the version that everybody reads; where it is there, some more of its rows, of which those go
/// that have expired by `now_ms` as they are stored.
pub(super) fn upgrade(
    (catalog, rule): (&Catalog, &Rule),
    versions: &mut Versions,
    draft: &mut Draft<'_>,
    record: RecordId,
    (readable, now_ms): (Option<u8>, u64),
) -> Result<(), Error> {
    let before = versions.get(record).cloned();
    let rises_to = readable.filter(|version| before.as_ref().is_none_or(|before| *version > before.active));
    let after = match (rises_to, before) {
        (Some(version), before) => {
            let glue = catalog.record(record);
            if glue.is_none_or(|glue| glue.at(version).is_none()) {
                // The others go on with it, and this node cannot follow: it stops before it says anything else.
                let (name, ours) = glue.map_or(("?", 0), |glue| (glue.name, glue.version));
                return Err(versions::unknown(name, ours, version));
            }
            before.map_or_else(|| Stored::new(version), |before| before.raised(version))
        }
        (None, Some(before)) if before.is_converting() => {
            let (changes, after) = convert::step(draft, rule, record, &before, now_ms)?;
            changes.into_iter().for_each(|change| draft.write(change));
            after
        }
        (None, _) => return Ok(()),
    };
    let (key, row) = after.row(record)?;
    versions.set(record, after);
    let mut rows = WriteSet::default();
    rows.put(key, row);
    if rises_to.is_some() {
        let descriptor_key = layout::meta_key(layout::META_DESCRIPTOR);
        let stored = draft.get(&descriptor_key)?;
        rows.put(descriptor_key, descriptor_row(catalog, versions, stored.as_deref())?.into());
    }
    draft.write(rows);
    Ok(())
}

/// The next record type that a store of one program has to bring to that program's version. `walked`: whose rows were all
/// looked at.
pub(crate) fn due_alone(catalog: &Catalog, versions: &Versions, walked: &BTreeSet<RecordId>) -> Option<RecordId> {
    catalog.records().map(|(record, glue)| (record, glue.version, versions.get(record))).find_map(
        |(record, newest, stored)| {
            let rises = stored.is_none_or(|stored| stored.active < newest);
            let waits = stored.is_some_and(Stored::is_converting) && !walked.contains(&record);
            (rises || waits).then_some(record)
        },
    )
}

/// One step of that; whether all of its rows were looked at.
pub(crate) fn upgrade_alone(
    (catalog, rule): (&Catalog, &Rule),
    versions: &mut Versions,
    draft: &mut Draft<'_>,
    record: RecordId,
) -> Result<bool, Error> {
    let was_converting = versions.get(record).is_some_and(Stored::is_converting);
    // What has expired is removed before.
    upgrade((catalog, rule), versions, draft, record, (catalog.record(record).map(|glue| glue.version), 0))?;
    let stored = versions.get(record);
    Ok(was_converting && stored.is_none_or(|stored| !stored.is_converting() || stored.stuck().is_some()))
}

#[cfg(test)]
mod tests;
