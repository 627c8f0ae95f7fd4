//! What generated code may name, and nothing else does. Not part of the public interface.

#![allow(missing_docs)]

pub use ::core;
pub use ::serde;
pub use ::std;

pub use crate::error::Error;
pub use crate::schema::{
    Agreed, Bounds, IndexGlue, IntoPart, IntoSelection, Key, KeyError, KeyForm, KeyParts, Member, Query, Record,
    RecordClone, RecordDescriptor, RecordDeserialize, RecordFor, RecordGlue, RecordRows, RecordSerialize, Schema,
    describe, deserialize_parts, glue, is_new, named, serialize_parts, show_parts,
};
