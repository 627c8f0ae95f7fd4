//! A store alone goes over to the versions of the program that opens it, before anything else is done with it.

use std::collections::BTreeSet;

use super::Writer;
use crate::error::Result;
use crate::machine::{Rule, Versions, due_alone, upgrade_alone};
use crate::schema::Catalog;

/// Every record type in its newest version. Rows that cannot be converted stay in theirs, and are tried again when the store
/// is opened again.
pub(super) fn to_newest(
    writer: &mut Writer,
    catalog: &Catalog,
    rule: &Rule,
    mut versions: Versions,
) -> Result<Versions> {
    let mut walked = BTreeSet::new();
    while let Some(record) = due_alone(catalog, &versions, &walked) {
        let round = writer.store.applied() + 1;
        let mut draft = writer.store.draft();
        if upgrade_alone((catalog, rule), &mut versions, &mut draft, record)? {
            walked.insert(record);
        }
        draft.install(round)?;
        writer.flush()?;
    }
    Ok(versions)
}
