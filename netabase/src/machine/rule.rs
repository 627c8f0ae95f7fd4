//! The rule: what a write does, as a pure function of the rows before it.
//!
//! Reader + write -> write set + outcome. A record and its index rows change together or not at all; a
//! refused write changes nothing. The same on every node: no clock, no randomness, no iteration over
//! anything unordered. It errs only if the rows cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::versions::{Stored, Versions};
use crate::Error;
use crate::command::{Applied, Outcome, Refusal, Write};
use crate::schema::{Catalog, IndexId, RecordGlue, RecordId, expiry_of_key};
use crate::storage::{Change, Rows, Selecting, WriteSet, layout};

/// The rule of one schema: its record types, with the ids of their indexes at hand.
#[derive(Debug)]
pub(crate) struct Rule {
    records: BTreeMap<RecordId, RecordType>,
}

#[derive(Debug)]
struct RecordType {
    id: RecordId,
    /// The newest first.
    versions: Vec<Version>,
}

/// One version of a record type.
#[derive(Debug)]
struct Version {
    glue: &'static RecordGlue,
    /// In the order of the glue's.
    indexes: Vec<Index>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Index {
    id: IndexId,
    unique: bool,
    is_expiry: bool,
}

/// Where a record is to be found: under its key, and under these keys of these indexes.
#[derive(Debug, Default)]
struct Places {
    key: Vec<u8>,
    in_indexes: Vec<(Index, Vec<u8>)>,
}

impl Places {
    /// When the record expires.
    fn expires_at_ms(&self) -> Option<u64> {
        let (_, index_key) = self.in_indexes.iter().find(|(index, _)| index.is_expiry)?;
        expiry_of_key(index_key)
    }

    fn has(&self, (index, index_key): &(Index, Vec<u8>)) -> bool {
        self.in_indexes.iter().any(|(known, known_key)| known.id == index.id && known_key == index_key)
    }

    /// Whether it has this place, and has it alone: in a version in which the index is not unique, others may have it, too.
    fn owns(&self, place: &(Index, Vec<u8>)) -> bool {
        let is_unique = |index: IndexId| self.in_indexes.iter().any(|(known, _)| known.id == index && known.unique);
        self.has(place) && is_unique(place.0.id)
    }
}

impl Rule {
    pub(crate) fn new(catalog: &Catalog) -> Rule {
        let index = |index: &crate::schema::IndexGlue| Index {
            id: IndexId::named(index.name),
            unique: index.unique,
            is_expiry: index.is_expiry(),
        };
        let version = |glue: &'static RecordGlue| Version { glue, indexes: glue.indexes.iter().map(index).collect() };
        let record = |(id, glue): (RecordId, &'static RecordGlue)| {
            let versions = std::iter::successors(Some(glue), |glue| glue.before).map(version).collect();
            (id, RecordType { id, versions })
        };
        Rule { records: catalog.records().map(record).collect() }
    }

    /// What `write` does in `round` to `rows`, of which `versions` says in which version they are.
    pub(crate) fn apply(
        &self,
        rows: &dyn Rows,
        versions: &Versions,
        write: &Write,
        round: u64,
    ) -> Result<(WriteSet, Outcome), Error> {
        let record = write.record();
        let (Some(record_type), Some(stored)) = (self.records.get(&record), versions.get(record)) else {
            return Ok((WriteSet::default(), Err(Refusal::UnknownRecord { record })));
        };
        let mut changes = WriteSet::default();
        let outcome = match write {
            Write::Put { value, .. } => record_type.put(rows, stored, value, round, true, &mut changes)?,
            Write::Insert { value, .. } => record_type.put(rows, stored, value, round, false, &mut changes)?,
            Write::Remove { key, .. } => record_type.remove(rows, stored, key, round, &mut changes)?,
        };
        let nothing = changes.rows.is_empty() && changes.change.is_none();
        debug_assert!(outcome.is_ok() || nothing, "a refused write changes nothing");
        Ok((changes, outcome))
    }

    /// Of the newest version of a record type.
    pub(super) fn glue(&self, record: RecordId) -> Option<&'static RecordGlue> {
        Some(self.records.get(&record)?.versions.first()?.glue)
    }

    /// The record types of which some may expire.
    pub(super) fn expiring(&self) -> impl Iterator<Item = RecordId> + '_ {
        self.records.values().filter(|record| record.versions[0].glue.expires()).map(|record| record.id)
    }

    /// What removes a record that has expired; `None`: it cannot be read back, or is not under the key that the index names.
    pub(super) fn swept(
        &self,
        rows: &dyn Rows,
        versions: &Versions,
        (record, key): (RecordId, &[u8]),
        round: u64,
    ) -> Result<Option<WriteSet>, Error> {
        let (Some(record_type), Some(stored)) = (self.records.get(&record), versions.get(record)) else {
            return Ok(None);
        };
        let mut changes = WriteSet::default();
        let outcome = record_type.remove(rows, stored, key, round, &mut changes)?;
        Ok(outcome.is_ok_and(|applied| applied.existed).then_some(changes))
    }

    /// The keys of the records on account of which this write would be refused.
    pub(super) fn in_the_way(&self, rows: &dyn Rows, versions: &Versions, write: &Write) -> Result<Vec<Bytes>, Error> {
        let record = write.record();
        let (Some(record_type), Some(stored)) = (self.records.get(&record), versions.get(record)) else {
            return Ok(Vec::new());
        };
        match write {
            Write::Put { value, .. } => record_type.in_the_way(rows, stored, value, true),
            Write::Insert { value, .. } => record_type.in_the_way(rows, stored, value, false),
            Write::Remove { .. } => Ok(Vec::new()),
        }
    }

    /// What brings a row of an earlier version to the active one; `None`: it is there already. Or why it cannot be brought there.
    /// One that has expired by `now_ms` is removed: the active one may say otherwise, and no read has shown it any more.
    /// `taken`: the unique keys that earlier ones of its step have taken.
    pub(super) fn converted(
        &self,
        rows: &dyn Rows,
        record: RecordId,
        (stored, now_ms): (&Stored, u64),
        (row_key, row): (&Bytes, &Bytes),
        taken: &mut BTreeSet<(IndexId, Vec<u8>)>,
    ) -> Result<Result<Option<WriteSet>, String>, Error> {
        let known = self.records.get(&record).ok_or("it is of no record type of this schema");
        let split =
            layout::split_record_key(row_key).zip(layout::split_record_value(row)).ok_or("its row is too short");
        match known.and_then(|record_type| Ok((record_type, split?))) {
            Ok((record_type, (key, (round, value)))) => {
                record_type.converted(rows, (stored, now_ms), (row_key, row), (&key, round, &value), taken)
            }
            Err(reason) => Ok(Err(reason.to_owned())),
        }
    }
}

impl RecordType {
    fn put(
        &self,
        rows: &dyn Rows,
        stored: &Stored,
        value: &Bytes,
        round: u64,
        may_replace: bool,
        changes: &mut WriteSet,
    ) -> Result<Outcome, Error> {
        let record = self.id;
        // Not whether it is known here: a program need not know what is below the floor, and all do the same.
        if let Some(version) = value.first().copied().filter(|version| *version < stored.floor) {
            return Ok(Err(Refusal::Outdated { record, version, active: stored.active }));
        }
        let (value, new) = match self.as_active(stored.active, value) {
            Ok(Some(new)) => new,
            Ok(None) => return Ok(Err(Refusal::NotActive { record, active: stored.active })),
            Err(reason) => return Ok(Err(Refusal::undecodable(record, reason))),
        };
        let row_key = layout::record_key(record, &new.key);
        let old_row = rows.get(&row_key)?;
        let existed = old_row.is_some();
        if existed && !may_replace {
            return Ok(Err(Refusal::AlreadyExists { record }));
        }
        if self.has_expired(rows, &new)? {
            // As if it were stored, and removed at once.
            return self.remove(rows, stored, &new.key, round, changes);
        }
        let old = old_row.as_ref().map_or(Ok(Places::default()), |row| self.stored_places(stored, &new.key, row));
        let old = match old {
            Ok(old) => old,
            Err(reason) => return Ok(Err(Refusal::undecodable(record, reason))),
        };
        for (index, index_key) in new.in_indexes.iter().filter(|place| place.0.unique && !old.owns(place)) {
            // A unique key that the record had already is not asked about: it is its own.
            if self.is_taken(rows, index.id, index_key, &new.key)? {
                return Ok(Err(Refusal::UniqueViolation { record, index: index.id }));
            }
        }
        let new_row = layout::record_value(round, &value);
        changes.change = Some(self.change(&row_key, old_row.as_ref(), Some(&new_row)));
        self.replace(changes, row_key, (&old, old_row.as_ref()), (&new, new_row));
        Ok(Ok(Applied { round, existed }))
    }

    fn remove(
        &self,
        rows: &dyn Rows,
        stored: &Stored,
        key: &[u8],
        round: u64,
        changes: &mut WriteSet,
    ) -> Result<Outcome, Error> {
        let row_key = layout::record_key(self.id, key);
        let Some(row) = rows.get(&row_key)? else {
            return Ok(Ok(Applied { round, existed: false }));
        };
        let old = match self.stored_places(stored, key, &row) {
            Ok(old) => old,
            Err(reason) => return Ok(Err(Refusal::undecodable(self.id, reason))),
        };
        changes.change = Some(self.change(&row_key, Some(&row), None));
        changes.replace(row_key, Some(&row), None);
        for (index, index_key) in &old.in_indexes {
            let row_key = layout::index_key(self.id, index.id, index_key, key);
            changes.replace(row_key, Some(&layout::index_value(index_key)), None);
        }
        Ok(Ok(Applied { round, existed: true }))
    }

    fn converted(
        &self,
        rows: &dyn Rows,
        (stored, now_ms): (&Stored, u64),
        (row_key, row): (&Bytes, &Bytes),
        (key, round, value): (&Bytes, u64, &Bytes),
        taken: &mut BTreeSet<(IndexId, Vec<u8>)>,
    ) -> Result<Result<Option<WriteSet>, String>, Error> {
        let version = stored.active;
        if value.first() == Some(&version) {
            return Ok(Ok(None));
        }
        let places = self.places(value).and_then(|old| Ok((old, self.as_active(version, value)?)));
        let (old, (value, new)) = match places {
            Ok((old, Some(new))) => (old, new),
            Ok((_, None)) => return Ok(Err("it is in a later version".to_owned())),
            Err(reason) => return Ok(Err(reason)),
        };
        if old.key != key[..] || new.key != key[..] {
            return Ok(Err("it has another key than its row in one of the versions".to_owned()));
        }
        let had_expired = old.expires_at_ms().is_some_and(|expires_at_ms| expires_at_ms <= now_ms);
        // By the clock only as this version has it: now it is noticed.
        if had_expired || self.has_expired(rows, &new)? {
            let mut changes = WriteSet::default();
            let removed = self.remove(rows, stored, key, round, &mut changes)?;
            return Ok(removed.map(|_| Some(changes)).map_err(|refusal| format!("it cannot be removed: {refusal:?}")));
        }
        let gained: Vec<_> = new.in_indexes.iter().filter(|place| place.0.unique && !old.owns(place)).collect();
        for (index, index_key) in &gained {
            if taken.contains(&(index.id, index_key.clone())) || self.is_taken(rows, index.id, index_key, key)? {
                let name = self.index_name(index.id);
                return Ok(Err(format!("another record has its value of the unique index `{name}`")));
            }
        }
        taken.extend(gained.into_iter().map(|(index, index_key)| (index.id, index_key.clone())));
        let mut changes = WriteSet::default();
        let new_row = layout::record_value(round, &value);
        self.replace(&mut changes, row_key.clone(), (&old, Some(row)), (&new, new_row));
        Ok(Ok(Some(changes)))
    }

    /// Whether a record is one that the clock of all nodes has passed.
    fn has_expired(&self, rows: &dyn Rows, new: &Places) -> Result<bool, Error> {
        match new.expires_at_ms() {
            Some(expires_at_ms) => Ok(expires_at_ms <= rows.clock_ms()?),
            None => Ok(false),
        }
    }

    fn in_the_way(
        &self,
        rows: &dyn Rows,
        stored: &Stored,
        value: &Bytes,
        may_replace: bool,
    ) -> Result<Vec<Bytes>, Error> {
        let Ok(Some((_, new))) = self.as_active(stored.active, value) else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        if !may_replace {
            keys.push(Bytes::copy_from_slice(&new.key));
        }
        for (index, index_key) in new.in_indexes.iter().filter(|(index, _)| index.unique) {
            // Several, where it was not unique in an earlier version.
            for holder in rows.scan_prefix(&layout::index_key_prefix(self.id, index.id, index_key))? {
                let (row_key, row_value) = holder?;
                let holder = layout::split_index_row(&row_key, &row_value);
                keys.extend(holder.map(|(_, key)| key).filter(|key| *key != new.key));
            }
        }
        Ok(keys)
    }

    /// The record's row, and those of its index rows that are not the same before and after.
    fn replace(
        &self,
        changes: &mut WriteSet,
        row_key: Bytes,
        (old, old_row): (&Places, Option<&Bytes>),
        (new, new_row): (&Places, Bytes),
    ) {
        changes.rows.reserve_exact(1 + old.in_indexes.len() + new.in_indexes.len());
        changes.replace(row_key, old_row.map(|row| &row[..]), Some(new_row));
        for place in old.in_indexes.iter().filter(|place| !new.has(place)) {
            let (index, index_key) = place;
            let row_key = layout::index_key(self.id, index.id, index_key, &new.key);
            changes.replace(row_key, Some(&layout::index_value(index_key)), None);
        }
        for place in new.in_indexes.iter().filter(|place| !old.has(place)) {
            let (index, index_key) = place;
            let row_key = layout::index_key(self.id, index.id, index_key, &new.key);
            changes.replace(row_key, None, Some(layout::index_value(index_key)));
        }
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

    /// The places of the record in `row`, stored under `key`. Decodes nothing if there are no indexes in the versions that are
    /// in use: which others a program knows decides nothing, since not all know the same.
    fn stored_places(&self, stored: &Stored, key: &[u8], row: &Bytes) -> Result<Places, String> {
        let has_no_index = |version: u8| self.version(version).is_ok_and(|version| version.indexes.is_empty());
        if (stored.floor..=stored.active).all(has_no_index) {
            return Ok(Places { key: key.to_vec(), in_indexes: Vec::new() });
        }
        let (_, value) = layout::split_record_value(row).ok_or("the stored record's row is too short")?;
        let stored = self.places(&value).map_err(|reason| format!("the stored record: {reason}"))?;
        if stored.key != key {
            // Its index rows would be looked for under the wrong key, and stay.
            return Err("the stored record has another key than its row".to_owned());
        }
        Ok(stored)
    }

    /// The value in this version, with its places; `None`, if it is in a later one.
    fn as_active(&self, version: u8, value: &Bytes) -> Result<Option<(Bytes, Places)>, String> {
        let written = *value.first().ok_or("it is empty")?;
        let value = match written.cmp(&version) {
            std::cmp::Ordering::Greater => return Ok(None),
            std::cmp::Ordering::Equal => value.clone(),
            std::cmp::Ordering::Less => {
                let (before, value) = (self.places(value)?, Bytes::from((self.version(version)?.glue.convert)(value)?));
                let places = self.places(&value)?;
                // It would take another record's place, and leave its own.
                let same = places.key == before.key;
                return if same {
                    Ok(Some((value, places)))
                } else {
                    Err("its `From` gives it another key".to_owned())
                };
            }
        };
        let places = self.places(&value)?;
        Ok(Some((value, places)))
    }

    /// Where the record is to be found whose value this is, in the version in which it is.
    fn places(&self, value: &[u8]) -> Result<Places, String> {
        let version = self.version(*value.first().ok_or("it is empty")?)?;
        let rows = (version.glue.rows)(value)?;
        if rows.index_keys.len() != version.indexes.len() {
            return Err("the record type gave another number of index keys than it has indexes".to_owned());
        }
        let in_indexes = version.indexes.iter().zip(rows.index_keys);
        let in_indexes = in_indexes.filter_map(|(index, index_key)| Some((*index, index_key?))).collect();
        Ok(Places { key: rows.key, in_indexes })
    }

    fn version(&self, number: u8) -> Result<&Version, String> {
        let known = self.versions.iter().find(|version| version.glue.version == number);
        known.ok_or_else(|| format!("it was written in version {number}, which this program does not know"))
    }

    fn index_name(&self, id: IndexId) -> &'static str {
        self.versions.iter().find_map(|version| version.glue.index(id)).map_or("?", |index| index.name)
    }

    /// Whether another record than that of `key` has this key of an index.
    fn is_taken(&self, rows: &dyn Rows, index: IndexId, index_key: &[u8], key: &[u8]) -> Result<bool, Error> {
        let prefix = layout::index_key_prefix(self.id, index, index_key);
        for row in rows.scan_prefix(&prefix)? {
            if row?.0[prefix.len()..] != *key {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
