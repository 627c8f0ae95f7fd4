//! A transaction while it runs: one moment of the records, its own writes over it, and what it has read.
//!
//! Must hold: whatever its caller could learn is noted, a refusal too; a write is refused as it would be if it were applied
//! now. Run by the handle on its node, and by the desk for a handle elsewhere.

use std::fmt;

use bytes::Bytes;

use super::footprint::Footprint;
use super::rule::Rule;
use super::versions::Versions;
use crate::Error;
use crate::command::{Read, Refusal, Write};
use crate::schema::{Catalog, Plan, RecordGlue, RecordId};
use crate::storage::{Branch, Row, Rows, Selecting, View};

/// What a transaction under way reads from and writes into.
pub(crate) struct Trial {
    branch: Branch,
    footprint: Footprint,
    /// In which versions the records are, once it is asked for.
    versions: Option<Versions>,
    /// Removals of records that had expired and stood in the way.
    evictions: Vec<Write>,
}

impl Trial {
    /// One that has read and written nothing yet.
    pub(crate) fn new(view: View) -> Self {
        Trial { branch: Branch::new(view), footprint: Footprint::default(), versions: None, evictions: Vec::new() }
    }

    /// What it reads from.
    pub(crate) fn rows(&self) -> &dyn Rows {
        &self.branch
    }

    /// The stored value under `key`.
    pub(crate) fn get(&mut self, record: RecordId, glue: &RecordGlue, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.footprint.get(&self.branch, record, glue, key)
    }

    /// The stored values that the plan selects.
    pub(crate) fn query(&mut self, plan: &Plan, glue: &RecordGlue) -> Result<Vec<Bytes>, Error> {
        self.footprint.query(&self.branch, plan, glue)
    }

    /// The first rows that the plan selects, as long as `more` says so. They are not noted.
    pub(crate) fn look(&self, plan: &Plan, glue: &RecordGlue, mut more: impl FnMut(&Row) -> bool) -> Result<(), Error> {
        for row in self.branch.select(plan, glue)? {
            if !more(&row?) {
                break;
            }
        }
        Ok(())
    }

    /// Writes, for later reads to see, unless it is refused.
    pub(crate) fn write(
        &mut self,
        rule: &Rule,
        catalog: &Catalog,
        write: &Write,
    ) -> Result<Result<(), Refusal>, Error> {
        // The round shows nowhere: what was written here is not noted as read.
        let round = self.branch.below().applied() + 1;
        let versions = match &mut self.versions {
            Some(versions) => versions,
            versions => versions.insert(Versions::load(self.branch.below())?),
        };
        if let Some(glue) = catalog.record(write.record()).filter(|glue| glue.expires()) {
            let expired =
                expired(&self.branch, (write.record(), glue), &rule.in_the_way(&self.branch, versions, write)?)?;
            for eviction in expired {
                self.footprint.note_record(&self.branch, write.record(), eviction.payload())?;
                let (rows, _) = rule.apply(&self.branch, versions, &eviction, round)?;
                self.branch.write(rows);
                self.evictions.push(eviction);
            }
        }
        let (rows, outcome) = rule.apply(&self.branch, versions, write, round)?;
        if let Err(refusal) = outcome {
            let active = versions.active(write.record());
            // By the version in which it was refused.
            if let Some(glue) = catalog.record(write.record()).and_then(|glue| glue.at(active?)) {
                self.footprint.refused(&self.branch, write, &refusal, glue)?;
            }
            return Ok(Err(refusal));
        }
        self.branch.write(rows);
        Ok(Ok(()))
    }

    /// All that was read, and what is to be written before anything else: no read shows a record that has expired, so none
    /// may refuse a write either, whether it is removed yet or not.
    pub(crate) fn into_notes(self) -> (Vec<Read>, Vec<Write>) {
        (self.footprint.into_reads(), self.evictions)
    }
}

/// The removals of those records that have expired. What the transaction wrote itself is its own affair.
fn expired(branch: &Branch, (record, glue): (RecordId, &RecordGlue), keys: &[Bytes]) -> Result<Vec<Write>, Error> {
    let mut removals = Vec::new();
    let Some(now_ms) = branch.read_at_ms() else { return Ok(removals) };
    for key in keys {
        let stored = branch.stored(record, key)?.filter(|(round, _)| *round <= branch.below().applied());
        if stored.is_some_and(|(_, value)| glue.has_expired(&value, now_ms)) {
            removals.push(Write::Remove { record, key: key.clone() });
        }
    }
    Ok(removals)
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("branch", &self.branch).finish_non_exhaustive()
    }
}
