//! What a program knows of its record types, short enough to be said in a greeting: nodes and clients compare it.
//!
//! Must hold: of a record type and version that both know, both know the same; one that only one of them knows is no
//! difference. Whether what the cluster stores can be read is another question: see `lacking`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::catalog::RecordId;
use super::descriptor::Descriptor;

/// Record types by name, each with its versions and a short hash of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary(BTreeMap<String, BTreeMap<u8, String>>);

impl Summary {
    /// Of these: name, version, hash.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn made_of(known: &[(&str, u8, &str)]) -> Summary {
        let mut summary = Summary::default();
        for (name, version, hash) in known {
            summary.0.entry((*name).to_owned()).or_default().insert(*version, (*hash).to_owned());
        }
        summary
    }

    pub(super) fn of(descriptor: &Descriptor) -> Summary {
        let record = |record: &super::descriptor::RecordDescriptor| {
            let versions = record.versions.iter().map(|known| (known.version, known.fingerprint.short())).collect();
            (record.name.clone(), versions)
        };
        Summary(descriptor.records().iter().map(record).collect())
    }

    /// The first version of a record type that both know, and not as the same; here and there.
    pub(crate) fn difference(&self, theirs: &Summary) -> Option<(String, String)> {
        self.0.iter().find_map(|(name, ours)| {
            let theirs = theirs.0.get(name)?;
            ours.iter().find_map(|(version, ours)| {
                let theirs = theirs.get(version).filter(|theirs| *theirs != ours)?;
                let show = |hash: &str| format!("`{name}` version {version} ({hash})");
                Some((show(ours), show(theirs)))
            })
        })
    }

    /// The first record type in which the two are not the same, for whatever reason; here and there.
    pub(crate) fn inequality(&self, theirs: &Summary) -> Option<(String, String)> {
        let names: BTreeSet<&String> = self.0.keys().chain(theirs.0.keys()).collect();
        let show = |name: &str, known: Option<&BTreeMap<u8, String>>| match known {
            None => format!("no `{name}`"),
            Some(known) => {
                let versions: Vec<_> = known.iter().map(|(version, hash)| format!("{version} ({hash})")).collect();
                format!("`{name}` version {}", versions.join(", "))
            }
        };
        names.into_iter().find_map(|name| {
            let (ours, theirs) = (self.0.get(name), theirs.0.get(name));
            (ours != theirs).then(|| (show(name, ours), show(name, theirs)))
        })
    }

    /// The first version of a record type that is stored, and that `theirs` does not know: which it is, and what they know.
    /// `stored`: the oldest and the newest version in which there may be rows.
    pub(crate) fn lacking(&self, theirs: &Summary, stored: &BTreeMap<RecordId, (u8, u8)>) -> Option<(String, String)> {
        self.0.keys().find_map(|name| {
            let (oldest, newest) = stored.get(&RecordId::named(name))?;
            let Some(known) = theirs.0.get(name) else {
                return Some((format!("`{name}` version {newest}"), format!("no `{name}`")));
            };
            let missing = (*oldest..=*newest).find(|version| !known.contains_key(version))?;
            let known: Vec<String> = known.keys().map(ToString::to_string).collect();
            Some((format!("`{name}` version {missing}"), format!("`{name}` version {}", known.join(", "))))
        })
    }

    /// The newest version of each record type.
    pub(crate) fn newest(&self) -> BTreeMap<RecordId, u8> {
        let newest = |versions: &BTreeMap<u8, String>| versions.keys().next_back().copied();
        self.0.iter().filter_map(|(name, versions)| Some((RecordId::named(name), newest(versions)?))).collect()
    }

    /// Of the record types that the other one has, too.
    pub(crate) fn only_of(&self, other: &Summary) -> Summary {
        let common = self.0.iter().filter(|(name, _)| other.0.contains_key(*name));
        Summary(common.map(|(name, versions)| (name.clone(), versions.clone())).collect())
    }

    /// The first record type of this one that the other does not have.
    pub(crate) fn missing_in(&self, theirs: &Summary) -> Option<&str> {
        self.0.keys().find(|name| !theirs.0.contains_key(*name)).map(String::as_str)
    }
}
