//! The schema as data: stored in the directory and compared with those of peers; readable without the Rust types.

use serde::{Deserialize, Serialize};

use super::codec;
use super::fingerprint::Fingerprint;
use super::key::KeyForm;
use super::shape::Shape;
use crate::error::Error;

/// The purpose of the hashes here. A change to what is hashed, or how, must change it.
const VERSION_PURPOSE: &str = "netabase 2026 record version fingerprint 2";
const SCHEMA_PURPOSE: &str = "netabase 2026 schema fingerprint 2";

/// Every record of a schema, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    records: Vec<RecordDescriptor>,
}

/// One record type: every version of it that the program knows, the oldest first.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDescriptor {
    pub(crate) name: String,
    pub(crate) versions: Vec<VersionDescriptor>,
}

/// One version of a record: its value and its indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionDescriptor {
    pub(crate) version: u8,
    /// Over all of it.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) key_fields: Vec<String>,
    pub(crate) key: KeyForm,
    pub(crate) shape: Shape,
    pub(crate) indexes: Vec<IndexDescriptor>,
}

/// One index of a record type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexDescriptor {
    pub(crate) name: String,
    pub(crate) unique: bool,
    pub(crate) form: KeyForm,
}

impl VersionDescriptor {
    pub(crate) fn new(
        version: u8,
        key_fields: Vec<String>,
        key: KeyForm,
        shape: Shape,
        indexes: Vec<IndexDescriptor>,
    ) -> Self {
        let bytes = codec::encode(&(version, &key_fields, &key, &shape.canonical(), &indexes))
            .expect("plain data always encodes");
        let fingerprint = Fingerprint::of(VERSION_PURPOSE, &bytes);
        VersionDescriptor { version, fingerprint, key_fields, key, shape, indexes }
    }

    fn show_indexes(&self) -> String {
        let show = |index: &IndexDescriptor| {
            let kind = if index.unique { "unique " } else { "" };
            format!("{kind}`{}` {:?}", index.name, index.form)
        };
        let indexes: Vec<_> = self.indexes.iter().map(show).collect();
        if indexes.is_empty() { "no indexes".to_owned() } else { format!("the indexes {}", indexes.join(", ")) }
    }
}

impl RecordDescriptor {
    fn version(&self, version: u8) -> Option<&VersionDescriptor> {
        self.versions.iter().find(|known| known.version == version)
    }
}

impl Descriptor {
    /// Of records with distinct names, in any order.
    pub(crate) fn new(mut records: Vec<RecordDescriptor>) -> Self {
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Descriptor { records }
    }

    /// The record types, by name.
    pub(crate) fn records(&self) -> &[RecordDescriptor] {
        &self.records
    }

    /// Only the versions up to the one that is in use, of the record types that are.
    pub(crate) fn limited(&self, in_use: impl Fn(&str) -> Option<u8>) -> Descriptor {
        let record = |record: &RecordDescriptor| {
            let newest = in_use(&record.name)?;
            let versions = record.versions.iter().filter(|known| known.version <= newest).cloned().collect();
            Some(RecordDescriptor { name: record.name.clone(), versions })
        };
        Descriptor { records: self.records.iter().filter_map(record).collect() }
    }

    /// With what only the other one knows.
    pub(crate) fn joined(mut self, other: Option<&Descriptor>) -> Descriptor {
        for theirs in other.map_or(&[][..], Descriptor::records) {
            match self.records.iter_mut().find(|ours| ours.name == theirs.name) {
                None => self.records.push(theirs.clone()),
                Some(ours) => {
                    let news = theirs.versions.iter().filter(|known| ours.version(known.version).is_none());
                    let news: Vec<_> = news.cloned().collect();
                    ours.versions.extend(news);
                    ours.versions.sort_by_key(|known| known.version);
                }
            }
        }
        Descriptor::new(self.records)
    }

    /// Over names and fingerprints of all records; not over their order in the enum.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let records: Vec<_> = self
            .records
            .iter()
            .map(|record| {
                let versions: Vec<_> = record.versions.iter().map(|v| (v.version, v.fingerprint)).collect();
                (&record.name, versions)
            })
            .collect();
        Fingerprint::of(SCHEMA_PURPOSE, &codec::encode(&records).expect("plain data always encodes"))
    }

    /// Compares the records and versions that both know; the first difference is an error that names it.
    pub(crate) fn check(&self, theirs: &Descriptor) -> Result<(), Error> {
        for our in &self.records {
            let Some(their) = theirs.records.iter().find(|their| their.name == our.name) else {
                continue;
            };
            for ours in &our.versions {
                let Some(theirs) = their.version(ours.version) else { continue };
                if ours.fingerprint == theirs.fingerprint {
                    continue;
                }
                let show = |version: &VersionDescriptor| {
                    let what = if ours.indexes == theirs.indexes {
                        format!("({})", version.fingerprint.short())
                    } else {
                        format!("with {}", version.show_indexes())
                    };
                    format!("`{}` version {} {what}", our.name, version.version)
                };
                return Err(Error::SchemaMismatch { ours: show(ours), theirs: show(theirs) });
            }
        }
        Ok(())
    }
}
