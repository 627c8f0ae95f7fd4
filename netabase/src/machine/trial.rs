//! A transaction while it runs: one moment of the records, its own writes over it, and what it has read.
//!
//! Must hold: whatever its caller could learn is noted, a refusal too; a write is refused as it would be if it were applied
//! now, also by a record that has expired and that no read shows: only the log removes it, when the clocks of a majority say
//! so. Whoever runs the transaction is told, and waits for that. Run by the handle on its node, and by the desk for a handle
//! elsewhere.

use std::fmt;

use bytes::Bytes;

use super::footprint::{Extent, Footprint};
use super::rule::Rule;
use super::versions::Versions;
use crate::Error;
use crate::command::{Read, Refusal, Write};
use crate::schema::{After, Catalog, Plan, RecordGlue, RecordId};
use crate::storage::{Branch, Row, Rows, Selecting, View};

/// What a transaction under way reads from and writes into.
pub(crate) struct Trial {
    branch: Branch,
    footprint: Footprint,
    /// In which versions the records are, once it is asked for.
    versions: Option<Versions>,
}

/// Why a write was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// No read shows what stands in its way: it has expired, and the log removes it soon.
    pub(crate) unswept: bool,
}

impl Trial {
    /// One that has read and written nothing yet.
    pub(crate) fn new(view: View) -> Self {
        Trial { branch: Branch::new(view), footprint: Footprint::default(), versions: None }
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
        self.footprint.query(&self.branch, plan, glue, Extent::All).map(|(values, _)| values)
    }

    /// The first of them, up to the one of which `more` says that it is the last, and behind which place the next page goes on,
    /// if there is one.
    pub(crate) fn page(
        &mut self,
        plan: &Plan,
        glue: &RecordGlue,
        mut more: impl FnMut(&Row) -> bool,
    ) -> Result<(Vec<Bytes>, Option<After>), Error> {
        self.footprint.query(&self.branch, plan, glue, Extent::Page(&mut more))
    }

    /// Writes, for later reads to see, unless it is refused.
    pub(crate) fn write(
        &mut self,
        rule: &Rule,
        catalog: &Catalog,
        write: &Write,
    ) -> Result<Result<(), Refused>, Error> {
        // The round shows nowhere: what was written here is not noted as read.
        let round = self.branch.below().applied() + 1;
        let versions = match &mut self.versions {
            Some(versions) => versions,
            versions => versions.insert(Versions::load(self.branch.below())?),
        };
        let (rows, outcome) = rule.apply(&self.branch, versions, write, round)?;
        let Err(refusal) = outcome else {
            self.branch.write(rows);
            return Ok(Ok(()));
        };
        let (record, active) = (write.record(), versions.active(write.record()));
        let newest = catalog.record(record);
        // By the version in which it was refused.
        if let Some(glue) = newest.and_then(|glue| glue.at(active?)) {
            self.footprint.refused(&self.branch, write, &refusal, glue)?;
        }
        let is_in_the_way = matches!(refusal, Refusal::AlreadyExists { .. } | Refusal::UniqueViolation { .. });
        let unswept = match newest.filter(|glue| is_in_the_way && glue.expires()) {
            Some(glue) => all_hidden(&self.branch, (record, glue), &rule.in_the_way(&self.branch, versions, write)?)?,
            None => false,
        };
        Ok(Err(Refused { refusal, unswept }))
    }

    /// All that was read.
    pub(crate) fn into_notes(self) -> Vec<Read> {
        self.footprint.into_reads()
    }
}

/// Whether no read shows any of these records, of which there is one at least. What the transaction wrote itself is its own
/// affair.
fn all_hidden(branch: &Branch, (record, glue): (RecordId, &RecordGlue), keys: &[Bytes]) -> Result<bool, Error> {
    let Some(now_ms) = branch.read_at_ms() else { return Ok(false) };
    let mut some = false;
    for key in keys {
        let Some((round, value)) = branch.stored(record, key)? else { continue };
        if round > branch.below().applied() || !glue.has_expired(&value, now_ms) {
            return Ok(false);
        }
        some = true;
    }
    Ok(some)
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("branch", &self.branch).finish_non_exhaustive()
    }
}
