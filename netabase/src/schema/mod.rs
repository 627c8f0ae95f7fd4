//! What a user's types tell us: records, keys as ordered bytes, indexes, stored values and the shape of all of it.
//!
//! ```text
//! #[derive(NetabaseSchema)] -> Record / Schema / Member -> RecordGlue (bytes) -> Catalog -> everything below the handle
//! Account::by_city("Paris") -> Query<Account>           -> Plan (byte bounds) -> the store
//! ```
//!
//! Nothing below the handle knows a user's types: it sees bytes and the table of functions in [`RecordGlue`].

mod catalog;
pub(crate) mod codec;
mod descriptor;
mod expiry;
mod fingerprint;
mod key;
mod membership;
mod plan;
mod query;
mod record;
mod selection;
mod shape;
#[cfg(feature = "native")]
mod summary;

pub(crate) use self::catalog::{Catalog, IndexId, RECORD_TYPES_MAX, RecordId};
pub(crate) use self::descriptor::Descriptor;
pub use self::descriptor::RecordDescriptor;
#[cfg(test)]
pub(crate) use self::descriptor::{IndexDescriptor, VersionDescriptor};
pub use self::expiry::{EXPIRY, Expiry, expiry_form};
pub(crate) use self::expiry::{expiry_key, expiry_of_key};
pub(crate) use self::fingerprint::Fingerprint;
pub(crate) use self::key::shown;
pub use self::key::{
    DebugPart, IntoPart, Key, KeyError, KeyForm, KeyParts, KeyThreadsFor, KeyVariants, Text, TextFor,
    deserialize_parts, deserialize_variant, serialize_parts, serialize_variant, show_parts,
};
#[cfg(feature = "paxos")]
pub(crate) use self::membership::all_agreed;
pub use self::membership::{Agreed, Member, Schema};
pub(crate) use self::plan::{After, Plan, successor};
pub use self::query::Query;
pub use self::record::{
    IndexGlue, MadeFrom, Record, RecordClone, RecordDeserialize, RecordFor, RecordGlue, RecordRows, RecordSerialize,
    RecordThreads, RecordThreadsFor, SameKeyAs, WrittenAs, describe, eventual, glue, is_new, is_version, named,
};
pub use self::selection::{
    Bounds, FirstFields, IntoKey, IntoPrefix, IntoRange, IntoSelection, Leading, StartsWith, leading, starts_with,
};

#[cfg(test)]
pub(crate) use self::shape::{Form, Shape};
#[cfg(feature = "native")]
pub(crate) use self::summary::Summary;

#[cfg(test)]
mod tests;
