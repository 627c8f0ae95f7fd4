//! A record type: its typed side for users, and the glue by which everything below the handle sees it as bytes.

use std::fmt::Debug;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use super::descriptor::{IndexDescriptor, RecordDescriptor, VersionDescriptor};
use super::key::{Key, KeyForm};
use super::query::Query;
use super::selection::{IntoPrefix, IntoRange};
use super::shape;
use crate::error::Error;

/// The version of every record type until versions can be declared; the first byte of a stored value.
pub(crate) const RECORD_VERSION: u8 = 1;

/// A type whose values are stored: a struct with a key. Implemented by `#[derive(NetabaseSchema)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record",
    label = "not a record",
    note = "write `#[derive(NetabaseSchema)]` on the struct and `#[netabase(key)]` on a field; a variant of a schema holds the struct itself, neither in a `Box` or an `Option` nor another schema"
)]
pub trait Record: Send + Sync + Unpin + Sized + 'static {
    /// What a record is found by.
    type Key: Key + Clone + Ord + Hash + Debug;

    /// The stored name.
    const NAME: &'static str;

    /// The key of this record.
    fn key(&self) -> Self::Key;

    /// All records of this type, in key order.
    fn all() -> Query<Self> {
        Query::all()
    }

    /// The records whose key lies in a range: `10..20`, `10..=20`, `10..`, `..20`, `..`, or `starts_with("lib")`.
    fn range(range: impl IntoRange<Self::Key>) -> Query<Self> {
        Query::range(range)
    }

    /// The records whose composite key begins with these fields: `7`, or `(7, 3)`.
    fn prefix(prefix: impl IntoPrefix<Self::Key>) -> Query<Self> {
        Query::prefix(prefix)
    }

    #[doc(hidden)]
    fn __clone(&self) -> Self;

    /// The stored value: the version, then the fields.
    #[doc(hidden)]
    fn __encode(&self) -> Result<Vec<u8>, Error>;

    #[doc(hidden)]
    fn __decode(bytes: &[u8]) -> Result<Self, Error>;

    /// One an index, in declaration order; `None` where the record is not in the index.
    #[doc(hidden)]
    fn __index_keys(&self) -> Vec<Option<Vec<u8>>>;

    #[doc(hidden)]
    const __GLUE: RecordGlue;
}

/// For the bounds of generated impls: about a type that is no record they then say nothing, and what needs one does.
#[doc(hidden)]
pub trait RecordFor<'a>: Record {}

impl<R: Record> RecordFor<'_> for R {}

/// What the byte-level core knows of a record type. All functions are total: they panic on no input.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct RecordGlue {
    /// The stored name.
    pub name: &'static str,
    /// In declaration order.
    pub indexes: &'static [IndexGlue],
    /// Decodes a stored value to its key bytes and index keys.
    pub rows: fn(value: &[u8]) -> Result<RecordRows, String>,
    /// Traces the shape of the value; called once when a schema is opened.
    pub describe: fn() -> Result<RecordDescriptor, String>,
}

/// One index of a record type.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct IndexGlue {
    pub name: &'static str,
    pub unique: bool,
    pub form: fn() -> KeyForm,
}

/// The rows that a stored value takes.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRows {
    pub key: Vec<u8>,
    /// One an index, in declaration order; `None`: not in that index.
    pub index_keys: Vec<Option<Vec<u8>>>,
}

/// The glue of a record type, for the generated `__GLUE`.
#[doc(hidden)]
#[must_use]
pub const fn glue<R: Record>(
    indexes: &'static [IndexGlue],
    describe: fn() -> Result<RecordDescriptor, String>,
) -> RecordGlue {
    RecordGlue { name: R::NAME, indexes, rows: rows::<R>, describe }
}

fn rows<R: Record>(value: &[u8]) -> Result<RecordRows, String> {
    // `apply` must be total, and a `Deserialize` written by hand may panic on bytes that no `Serialize` wrote.
    catch_unwind(AssertUnwindSafe(|| {
        let record = R::__decode(value).map_err(reason)?;
        Ok(RecordRows { key: record.key().to_bytes(), index_keys: record.__index_keys() })
    }))
    .unwrap_or_else(|_| Err("reading the value back panicked".to_owned()))
}

fn reason(error: Error) -> String {
    match error {
        Error::Codec { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// The glue of a record that has another stored name in a schema.
#[doc(hidden)]
#[must_use]
pub const fn named(name: &'static str, glue: RecordGlue) -> RecordGlue {
    RecordGlue { name, ..glue }
}

/// Whether no earlier variant has this stored name; asked when the user's crate is compiled.
#[doc(hidden)]
#[must_use]
pub const fn is_new(earlier: &[&str], name: &str) -> bool {
    let mut index = 0;
    while index < earlier.len() {
        if same(earlier[index].as_bytes(), name.as_bytes()) {
            return false;
        }
        index += 1;
    }
    true
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Describes a record type: its key fields, its indexes and the shape of its value.
#[doc(hidden)]
pub fn describe<R: Record>(
    key_fields: &[&str],
    shape: Result<shape::Shape, String>,
) -> Result<RecordDescriptor, String> {
    let indexes = R::__GLUE
        .indexes
        .iter()
        .map(|index| IndexDescriptor { name: index.name.to_owned(), unique: index.unique, form: (index.form)() })
        .collect();
    let key_fields = key_fields.iter().map(|&field| field.to_owned()).collect();
    let version = VersionDescriptor::new(u32::from(RECORD_VERSION), key_fields, R::Key::form(), shape?);
    Ok(RecordDescriptor { name: R::NAME.to_owned(), versions: vec![version], indexes })
}

// The requirements on a record, one trait each, so that each missing derive is explained in our words, once.

/// Keeps a copy of a record.
#[diagnostic::on_unimplemented(
    message = "the record `{Self}` does not implement `Clone`",
    label = "add `#[derive(Clone)]` to this struct",
    note = "a copy is kept until the write is agreed on"
)]
pub trait RecordClone: Sized {
    #[doc(hidden)]
    fn __clone_record(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> RecordClone for T {
    fn __clone_record(&self) -> Self {
        self.clone()
    }
}

/// Goes from thread to thread.
#[diagnostic::on_unimplemented(
    message = "the record `{Self}` cannot go from thread to thread: it is not `Send`, `Sync` and `Unpin`",
    label = "a field of this struct belongs to one thread",
    note = "use `Arc` for `Rc`, and plain values for `Cell`, `RefCell` and raw pointers: what changes is written as a new record"
)]
pub trait RecordThreads: Sized {
    /// Named in generated code at the record, to have it said there.
    #[doc(hidden)]
    const __GOES: () = ();
}

#[diagnostic::do_not_recommend]
impl<T: Send + Sync + Unpin> RecordThreads for T {}

/// For the bounds of generated impls: about a record that belongs to one thread they then say nothing, and one place does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the record `{Self}` cannot go from thread to thread: it is not `Send`, `Sync` and `Unpin`",
    label = "a field of this struct belongs to one thread"
)]
pub trait RecordThreadsFor<'a>: Send + Sync + Unpin {}

#[diagnostic::do_not_recommend]
impl<T: Send + Sync + Unpin> RecordThreadsFor<'_> for T {}

/// Writes a record.
#[diagnostic::on_unimplemented(
    message = "the record `{Self}` cannot be written: it does not implement `serde::Serialize`",
    label = "add `#[derive(serde::Serialize)]` to this struct",
    note = "`serde` must be a dependency, with its feature `derive`"
)]
pub trait RecordSerialize: Sized {
    #[doc(hidden)]
    fn __to_value(&self, record: &str) -> Result<Vec<u8>, Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> RecordSerialize for T {
    fn __to_value(&self, record: &str) -> Result<Vec<u8>, Error> {
        let mut value = vec![RECORD_VERSION];
        codec::encode_into(self, &mut value)
            .map_err(|error| Error::Codec { record: record.to_owned(), reason: error.to_string() })?;
        Ok(value)
    }
}

/// Reads a record back.
#[diagnostic::on_unimplemented(
    message = "the record `{Self}` cannot be read back: it does not implement `serde::Deserialize`",
    label = "add `#[derive(serde::Deserialize)]` to this struct",
    note = "`serde` must be a dependency, with its feature `derive`"
)]
pub trait RecordDeserialize: Sized {
    #[doc(hidden)]
    fn __from_value(bytes: &[u8], record: &str) -> Result<Self, Error>;
    #[doc(hidden)]
    fn __shape() -> Result<shape::Shape, String>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> RecordDeserialize for T {
    fn __from_value(bytes: &[u8], record: &str) -> Result<Self, Error> {
        let failed = |reason: String| Error::Codec { record: record.to_owned(), reason };
        match bytes {
            [RECORD_VERSION, fields @ ..] => codec::decode(fields).map_err(|error| failed(error.to_string())),
            [version, ..] => {
                Err(failed(format!("it was written in version {version}, which this program does not know")))
            }
            [] => Err(failed("it is empty".to_owned())),
        }
    }

    fn __shape() -> Result<shape::Shape, String> {
        shape::trace::<T>()
    }
}
