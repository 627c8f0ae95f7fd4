//! What generated code may name, and nothing else does. Not part of the public interface.

#![allow(missing_docs)]

pub use ::core;
pub use ::serde;
pub use ::std;

pub use crate::error::Error;
pub use crate::schema::{
    Agreed, Bounds, IndexGlue, IntoPart, IntoSelection, Key, KeyError, KeyForm, KeyParts, MadeFrom, Member, Query,
    Record, RecordClone, RecordDescriptor, RecordDeserialize, RecordFor, RecordGlue, RecordRows, RecordSerialize,
    SameKeyAs, Schema, WrittenAs, describe, deserialize_parts, glue, is_new, is_version, named, same_key,
    serialize_parts, show_parts,
};
