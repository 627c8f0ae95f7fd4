//! The schema as data: stored in the directory and compared with those of peers; readable without the Rust types.

use serde::{Deserialize, Serialize};

use super::codec;
use super::fingerprint::Fingerprint;
use super::key::KeyForm;
use super::shape::Shape;
use crate::error::Error;

/// The purpose of the hashes here. A change to what is hashed, or how, must change it.
const VERSION_PURPOSE: &str = "netabase 2026 record version fingerprint 1";
const SCHEMA_PURPOSE: &str = "netabase 2026 schema fingerprint 1";

/// Every record of a schema, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    records: Vec<RecordDescriptor>,
}

/// One record type: its indexes, and every version of its value that the program knows.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDescriptor {
    pub(crate) name: String,
    pub(crate) versions: Vec<VersionDescriptor>,
    pub(crate) indexes: Vec<IndexDescriptor>,
}

/// One version of a record's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionDescriptor {
    pub(crate) version: u32,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) key_fields: Vec<String>,
    pub(crate) key: KeyForm,
    pub(crate) shape: Shape,
}

/// One index of a record type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexDescriptor {
    pub(crate) name: String,
    pub(crate) unique: bool,
    pub(crate) form: KeyForm,
}

impl VersionDescriptor {
    pub(crate) fn new(version: u32, key_fields: Vec<String>, key: KeyForm, shape: Shape) -> Self {
        let bytes =
            codec::encode(&(version, &key_fields, &key, &shape.canonical())).expect("plain data always encodes");
        let fingerprint = Fingerprint::of(VERSION_PURPOSE, &bytes);
        VersionDescriptor { version, fingerprint, key_fields, key, shape }
    }
}

impl RecordDescriptor {
    fn version(&self, version: u32) -> Option<&VersionDescriptor> {
        self.versions.iter().find(|known| known.version == version)
    }

    fn show_indexes(&self) -> String {
        let show = |index: &IndexDescriptor| {
            let kind = if index.unique { "unique " } else { "" };
            format!("{kind}`{}` {:?}", index.name, index.form)
        };
        let indexes: Vec<_> = self.indexes.iter().map(show).collect();
        if indexes.is_empty() {
            format!("`{}` without indexes", self.name)
        } else {
            format!("`{}` with the indexes {}", self.name, indexes.join(", "))
        }
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

    /// Over names, fingerprints of versions and indexes of all records; not over their order in the enum.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let records: Vec<_> = self
            .records
            .iter()
            .map(|record| {
                let versions: Vec<_> = record.versions.iter().map(|v| (v.version, v.fingerprint)).collect();
                (&record.name, versions, &record.indexes)
            })
            .collect();
        Fingerprint::of(SCHEMA_PURPOSE, &codec::encode(&records).expect("plain data always encodes"))
    }

    /// Compares the records and versions that both know; the first difference is an error that names it.
    pub(crate) fn check(&self, theirs: &Descriptor) -> Result<(), Error> {
        let show = |record: &RecordDescriptor, version: &VersionDescriptor| {
            format!("`{}` version {} ({})", record.name, version.version, version.fingerprint.short())
        };
        for our in &self.records {
            let Some(their) = theirs.records.iter().find(|their| their.name == our.name) else {
                continue;
            };
            for (our_version, their_version) in
                our.versions.iter().filter_map(|ours| Some((ours, their.version(ours.version)?)))
            {
                if our_version.fingerprint != their_version.fingerprint {
                    let (ours, theirs) = (show(our, our_version), show(their, their_version));
                    return Err(Error::SchemaMismatch { ours, theirs });
                }
            }
            if our.indexes != their.indexes {
                return Err(Error::SchemaMismatch { ours: our.show_indexes(), theirs: their.show_indexes() });
            }
        }
        Ok(())
    }
}
