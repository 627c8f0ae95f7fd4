//! Whose rows a store holds: the record types it was written with, in which versions, and by what.
//!
//! Must hold: a store never shows records under another schema than they were written with; rows whose rounds come from
//! consensus are never written by a store alone, nor the other way round.

use std::collections::BTreeMap;

use super::versions::Versions;
use crate::Error;
use crate::schema::{Catalog, Descriptor, RecordId, codec};
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

/// Takes a store for this schema, and says in which versions its records are. A new one begins with those of `founding`, or
/// of a node whose program has left those behind with none; one with another schema is refused.
pub(crate) fn adopt(
    store: &mut Store,
    catalog: &Catalog,
    keeper: Keeper,
    founding: &BTreeMap<RecordId, u8>,
) -> Result<Versions, Error> {
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
    let stored = match store.meta(layout::META_DESCRIPTOR)? {
        Some(stored) => {
            let theirs: Descriptor = codec::decode(&stored)
                .map_err(|error| StoreError::Damaged(format!("the stored schema does not decode: {error}")))?;
            catalog.descriptor().check(&theirs)?;
            Some(theirs)
        }
        None if store.applied() > 0 => {
            return Err(StoreError::Damaged("it has records and no schema".to_owned()).into());
        }
        None => None,
    };
    let mut versions = Versions::load(&store.view())?;
    if versions.is_empty() && store.applied() == 0 {
        let founded = Versions::founded(founding);
        if keeper == Keeper::Node && founded.are_outgrown_by(catalog) {
            // It cannot go along from the first round on: the node begins with what the others hold now.
            return Ok(versions);
        }
        versions = founded;
        store.begin_with(versions.rows()?)?;
    }
    versions.check(catalog, keeper, stored.as_ref())?;
    let in_use = in_use(catalog, &versions, stored.as_ref());
    if stored.as_ref() != Some(&in_use) {
        store.set_meta(layout::META_DESCRIPTOR, encoded(&in_use)?.into())?;
    }
    Ok(versions)
}

/// The descriptor's row, of a program that goes on with these versions.
pub(super) fn descriptor_row(catalog: &Catalog, versions: &Versions, stored: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    let stored = stored.and_then(|stored| codec::decode(stored).ok());
    encoded(&in_use(catalog, versions, stored.as_ref()))
}

/// The versions of our record types that are or were in use, and the record types that only the directory knows: what is
/// stored once stays compared, and what was never stored may still change.
fn in_use(catalog: &Catalog, versions: &Versions, stored: Option<&Descriptor>) -> Descriptor {
    let active = |name: &str| versions.active(RecordId::named(name));
    catalog.descriptor().limited(active).joined(stored)
}

fn encoded(descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    let encoded = codec::encode(descriptor);
    Ok(encoded.map_err(|error| StoreError::Failed(format!("the schema cannot be written: {error}")))?)
}
