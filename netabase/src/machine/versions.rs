//! In which version each record type is stored: agreed on like the records themselves.
//!
//! ```text
//! members say what they read (roster) ─▶ Upgrade: the least of it becomes active ─▶ rows are converted, some a round ─▶ floor
//! ```
//! Must hold: a function of the log alone; no row is in a version above the active one, or below the floor; the active
//! version never falls; a row has exactly the index rows of the version in which it is stored, whose number is its first byte;
//! a record type that is not here is not written.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::schema::Keeper;
use crate::Error;
use crate::schema::{Catalog, Descriptor, RecordGlue, RecordId, codec};
use crate::storage::{Rows, StoreError, layout};

/// The versions of every record type that may be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    of: BTreeMap<RecordId, Stored>,
}

/// The versions of one record type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// In which version records are written.
    pub(crate) active: u8,
    /// The lowest version in which there may still be rows.
    pub(crate) floor: u8,
    /// How far the rows below the active version are converted, while there are any.
    pub(super) pass: Option<Pass>,
}

/// A walk over the rows of a record type, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pass {
    /// The key of the last row that was looked at; none before the first.
    pub(super) after: Option<Bytes>,
    /// Rows that could not be converted, in this walk.
    pub(super) stuck: u64,
    /// Why not, of the first one.
    pub(super) reason: Option<String>,
    /// Whether all rows were looked at, and some stayed: the next one is another walk.
    pub(super) over: bool,
}

impl Stored {
    /// Of a record type that has no rows yet.
    pub(super) fn new(version: u8) -> Stored {
        Stored { active: version, floor: version, pass: None }
    }

    /// The same from the moment on at which a later version is written.
    pub(super) fn raised(self, version: u8) -> Stored {
        Stored { active: version, floor: self.floor, pass: Some(Pass::default()) }
    }

    /// Whether rows wait to be converted.
    pub(crate) fn is_converting(&self) -> bool {
        self.pass.is_some()
    }

    /// How many rows the last whole walk could not convert, and why the first one could not.
    pub(crate) fn stuck(&self) -> Option<(u64, &str)> {
        let pass = self.pass.as_ref().filter(|pass| pass.over)?;
        Some((pass.stuck, pass.reason.as_deref().unwrap_or_default()))
    }

    pub(super) fn row(&self, record: RecordId) -> Result<(Bytes, Bytes), Error> {
        let pass = self.pass.as_ref().map_or(Ok(Vec::new()), codec::encode);
        let pass = pass.map_err(|error| StoreError::Failed(format!("the versions cannot be written: {error}")))?;
        Ok((layout::version_key(record), [&[self.active, self.floor], &pass[..]].concat().into()))
    }

    fn decode(row: &[u8]) -> Option<Stored> {
        let (floor, active) = layout::split_versions(row)?;
        let pass = match &row[2..] {
            [] => None,
            pass => Some(codec::decode(pass).ok()?),
        };
        Some(Stored { active, floor, pass })
    }
}

impl Versions {
    /// Of a cluster, or a store, that begins with these.
    pub(crate) fn founded(records: &BTreeMap<RecordId, u8>) -> Versions {
        Versions { of: records.iter().map(|(&record, &version)| (record, Stored::new(version))).collect() }
    }

    /// What the rows say.
    pub(crate) fn load(rows: &dyn Rows) -> Result<Versions, Error> {
        let mut of = BTreeMap::new();
        for row in rows.scan_prefix(&layout::version_prefix())? {
            let (key, row) = row?;
            let record = layout::split_version_key(&key);
            let stored = Stored::decode(&row);
            let (Some(record), Some(stored)) = (record, stored) else {
                return Err(StoreError::Damaged("a record type's versions do not decode".to_owned()).into());
            };
            of.insert(record, stored);
        }
        Ok(Versions { of })
    }

    /// Every row of them.
    pub(super) fn rows(&self) -> Result<Vec<(Bytes, Option<Bytes>)>, Error> {
        let row = |(&record, stored): (&RecordId, &Stored)| stored.row(record).map(|(key, row)| (key, Some(row)));
        self.of.iter().map(row).collect()
    }

    pub(crate) fn get(&self, record: RecordId) -> Option<&Stored> {
        self.of.get(&record)
    }

    pub(super) fn set(&mut self, record: RecordId, stored: Stored) {
        self.of.insert(record, stored);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// In which version records of this type are written.
    pub(crate) fn active(&self, record: RecordId) -> Option<u8> {
        self.of.get(&record).map(|stored| stored.active)
    }

    /// In which version each record type is written.
    pub(crate) fn all_active(&self) -> BTreeMap<RecordId, u8> {
        self.of.iter().map(|(&record, stored)| (record, stored.active)).collect()
    }

    /// Between which versions there may be rows, of each record type.
    pub(crate) fn stored(&self) -> BTreeMap<RecordId, (u8, u8)> {
        self.of.iter().map(|(&record, stored)| (record, (stored.floor, stored.active))).collect()
    }

    /// Whether this program has all of these record types, of each the version that is written or later ones, and of some not
    /// all of the earlier ones in which there may be rows.
    pub(crate) fn are_outgrown_by(&self, catalog: &Catalog) -> bool {
        let mut known = self.of.iter().map(|(&record, stored)| (catalog.record(record), stored));
        let is_later =
            |(glue, stored): (Option<&RecordGlue>, &Stored)| glue.is_none_or(|glue| glue.version < stored.active);
        let is_gone =
            |(glue, stored): (Option<&RecordGlue>, &Stored)| glue.is_some_and(|glue| glue.at(stored.floor).is_none());
        !known.clone().any(is_later) && known.any(is_gone)
    }

    /// Whether this program can read all that is stored and write what is to be.
    pub(super) fn check(&self, catalog: &Catalog, keeper: Keeper, told: Option<&Descriptor>) -> Result<(), Error> {
        let name = |record: RecordId| {
            let told = told.map_or(&[][..], Descriptor::records);
            let told = told.iter().find(|told| RecordId::named(&told.name) == record);
            told.map_or_else(|| format!("{record:?}"), |told| format!("`{}`", told.name))
        };
        for (&record, stored) in &self.of {
            let Some(glue) = catalog.record(record) else {
                if keeper == Keeper::Alone {
                    // Nobody else writes it, and its rows stay.
                    continue;
                }
                return Err(Error::SchemaMismatch {
                    ours: format!("one without {}", name(record)),
                    theirs: format!("one with {} version {}, which is in use", name(record), stored.active),
                });
            };
            if let Some(missing) = (stored.floor..=stored.active).find(|version| glue.at(*version).is_none()) {
                return Err(unknown(glue.name, glue.version, missing));
            }
        }
        Ok(())
    }
}

/// This program does not know a version that is, or is to be, in use.
pub(super) fn unknown(name: &str, ours: u8, theirs: u8) -> Error {
    let theirs = format!("`{name}` version {theirs}, which is in use");
    Error::SchemaMismatch { ours: format!("`{name}` version {ours}"), theirs }
}
