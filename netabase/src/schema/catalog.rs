//! A schema as opened at a start: checked, traced, and looked up by id from then on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::descriptor::Descriptor;
use super::fingerprint::Fingerprint;
use super::membership::{Member, Schema};
use super::record::RecordGlue;
#[cfg(feature = "native")]
use super::summary::Summary;
use crate::error::Error;

/// A record type in rows and on the wire: from its stored name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct RecordId(pub(crate) u32);

/// An index in rows: from its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct IndexId(pub(crate) u32);

fn id(space: &str, name: &str) -> u32 {
    let hash = blake3::Hasher::new().update(space.as_bytes()).update(name.as_bytes()).finalize();
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl RecordId {
    pub(crate) fn named(name: &str) -> RecordId {
        RecordId(id("record:", name))
    }

    /// Of `R` in the schema `S`, where the variant may have given it another name.
    pub(crate) fn of_member<S: Schema, R: Member<S>>() -> RecordId {
        RecordId::named(R::__NAME)
    }
}

impl IndexId {
    pub(crate) fn named(name: &str) -> IndexId {
        IndexId(id("index:", name))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({:08x})", self.0)
    }
}

impl fmt::Debug for IndexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexId({:08x})", self.0)
    }
}

/// Record types of one schema: each is said in every greeting, and remembered of every member.
pub(crate) const RECORD_TYPES_MAX: usize = 1_024;

/// The records of an opened schema. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    records: BTreeMap<RecordId, &'static RecordGlue>,
    descriptor: Descriptor,
    fingerprint: Fingerprint,
}

impl Catalog {
    /// Opens a schema: names and ids must be distinct, every value type must be traceable.
    pub(crate) fn of<S: Schema>() -> Result<Catalog, Error> {
        Catalog::new(S::__RECORDS)
    }

    /// Of records that need no typed schema; `of` is the way for all others.
    pub(crate) fn new(glues: &'static [RecordGlue]) -> Result<Catalog, Error> {
        if glues.len() > RECORD_TYPES_MAX {
            return Err(Error::Configuration {
                option: "schema",
                reason: format!("it has {} record types, more than {RECORD_TYPES_MAX}: split it up", glues.len()),
            });
        }
        let mut records = BTreeMap::new();
        let mut descriptors = Vec::with_capacity(glues.len());
        for glue in glues {
            let refused = |reason: String| Error::Codec { record: glue.name.to_owned(), reason };
            if let Some(other) = records.insert(RecordId::named(glue.name), glue) {
                return Err(refused(clash("record", glue.name, other.name)));
            }
            for glue in glue.versions() {
                let mut indexes = BTreeMap::new();
                for index in glue.indexes {
                    if let Some(other) = indexes.insert(IndexId::named(index.name), index.name) {
                        return Err(refused(clash("index", index.name, other)));
                    }
                }
            }
            let mut descriptor = (glue.describe)().map_err(refused)?;
            glue.name.clone_into(&mut descriptor.name);
            descriptors.push(descriptor);
        }
        let descriptor = Descriptor::new(descriptors);
        let fingerprint = descriptor.fingerprint();
        Ok(Catalog { inner: Arc::new(Inner { records, descriptor, fingerprint }) })
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.inner.fingerprint
    }

    pub(crate) fn record(&self, id: RecordId) -> Option<&'static RecordGlue> {
        self.inner.records.get(&id).copied()
    }

    /// Every record of the schema, by id.
    pub(crate) fn records(&self) -> impl Iterator<Item = (RecordId, &'static RecordGlue)> + '_ {
        self.inner.records.iter().map(|(&id, &glue)| (id, glue))
    }

    /// What this program knows of each record type, for a peer to compare.
    #[cfg(feature = "native")]
    pub(crate) fn summary(&self) -> Summary {
        Summary::of(&self.inner.descriptor)
    }

    /// Each record type with its newest version.
    pub(crate) fn newest(&self) -> BTreeMap<RecordId, u8> {
        self.records().map(|(id, glue)| (id, glue.version)).collect()
    }

    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.inner.descriptor
    }
}

fn clash(what: &str, one: &str, other: &str) -> String {
    let name = if what == "index" { "index(name = \"by_…\")" } else { "name = \"…\"" };
    if one == other {
        format!("two {what}s of the schema have the stored name `{one}`: give one another with `#[netabase({name})]`")
    } else {
        format!("the {what} names `{one}` and `{other}` have the same id: give one another with `#[netabase({name})]`")
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.inner.records.values().map(|glue| glue.name).collect();
        f.debug_struct("Catalog").field("records", &names).field("fingerprint", &self.inner.fingerprint).finish()
    }
}
