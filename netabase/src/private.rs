//! What generated code may name, and nothing else does. Not part of the public interface.

#![allow(missing_docs)]

pub use ::core;
pub use ::serde;
pub use ::std;

pub use crate::error::Error;
pub use crate::schema::{
    Agreed, Bounds, DebugPart, EXPIRY, Expiry, FirstFields, IndexGlue, IntoPart, IntoPrefix, IntoSelection, Key,
    KeyError, KeyForm, KeyParts, KeyThreadsFor, KeyVariants, MadeFrom, Member, Query, Record, RecordClone,
    RecordDescriptor, RecordDeserialize, RecordFor, RecordGlue, RecordRows, RecordSerialize, RecordThreads,
    RecordThreadsFor, SameKeyAs, Schema, Text, TextFor, WrittenAs, describe, deserialize_parts, deserialize_variant,
    eventual, expiry_form, glue, is_new, is_version, named, serialize_parts, serialize_variant, show_parts,
};
