//! Whose rows a store holds: the record types it was written with, and by what.
//!
//! Must hold: a store never shows records under another schema than they were written with; rows whose rounds come from
//! consensus are never written by a store alone, nor the other way round.

use crate::Error;
use crate::schema::{Catalog, Descriptor, codec};
use crate::storage::{Store, StoreError, layout};

/// What gives a store its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// A node: every round was agreed on.
    Node,
    /// A program that opened the store alone.
    Alone,
}

impl Keeper {
    /// As the store says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Keeper::Node => "node",
            Keeper::Alone => "alone",
        }
    }
}

/// Takes a store for this schema. A new one gets the schema's descriptor; one with another is refused.
pub(crate) fn adopt(store: &mut Store, catalog: &Catalog, keeper: Keeper) -> Result<(), Error> {
    match store.meta(layout::META_KEEPER)? {
        None if store.applied() == 0 => {
            store.set_meta(layout::META_KEEPER, keeper.name().as_bytes().into())?;
        }
        Some(stored) if stored == keeper.name().as_bytes() => {}
        Some(stored) if stored == Keeper::Alone.name().as_bytes() => {
            return Err(StoreError::Foreign("it is a `Store` of its own: open it with `Store::open`".to_owned()).into());
        }
        Some(_) | None => {
            let what = "it belongs to a node's data directory: start that node with `Netabase::start`";
            return Err(StoreError::Foreign(what.to_owned()).into());
        }
    }
    let ours = catalog.descriptor();
    let stored = match store.meta(layout::META_DESCRIPTOR)? {
        Some(stored) => {
            let theirs: Descriptor = codec::decode(&stored)
                .map_err(|error| StoreError::Damaged(format!("the stored schema does not decode: {error}")))?;
            ours.check(&theirs)?;
            Some(theirs)
        }
        None if store.applied() > 0 => {
            return Err(StoreError::Damaged("it has records and no schema".to_owned()).into());
        }
        None => None,
    };
    let all = all_records(ours, stored.as_ref());
    if stored.as_ref() != Some(&all) {
        let all = codec::encode(&all)
            .map_err(|error| StoreError::Failed(format!("the schema cannot be written: {error}")))?;
        store.set_meta(layout::META_DESCRIPTOR, all.into())?;
    }
    Ok(())
}

/// Our record types, and those that only the directory knows: what is stored once stays compared.
fn all_records(ours: &Descriptor, stored: Option<&Descriptor>) -> Descriptor {
    let is_ours = |name: &str| ours.records().iter().any(|record| record.name == name);
    let theirs = stored.map_or(&[][..], Descriptor::records).iter().filter(|record| !is_ours(&record.name));
    Descriptor::new(ours.records().iter().chain(theirs).cloned().collect())
}
