//! A record type: its typed side for users, and the glue by which everything below the handle sees it as bytes.

use std::fmt::Debug;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::catalog::IndexId;
use super::codec;
use super::descriptor::{IndexDescriptor, RecordDescriptor, VersionDescriptor};
use super::key::{Key, KeyForm};
use super::query::Query;
use super::selection::{IntoPrefix, IntoRange};
use super::shape;
use crate::error::Error;

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

    /// The stored value in an earlier version, for those who know no later one; `None`: it has no such form.
    #[doc(hidden)]
    fn __encode_as(&self, version: u8) -> Result<Option<Vec<u8>>, Error> {
        if version < Self::__GLUE.version { Ok(None) } else { self.__encode().map(Some) }
    }

    /// Reads a stored value of this version, or of an earlier one that this one follows.
    #[doc(hidden)]
    fn __decode(bytes: &[u8]) -> Result<Self, Error>;

    /// One an index, in declaration order; `None` where the record is not in the index.
    #[doc(hidden)]
    fn __index_keys(&self) -> Vec<Option<Vec<u8>>>;

    /// That the parameters of a generic record are no `Option` where an index would take their `None` for a value.
    #[doc(hidden)]
    const ONLY_SOME_IS_INDEXED: () = ();

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
    /// The version that the type has: the first byte of its stored values.
    pub version: u8,
    /// In declaration order.
    pub indexes: &'static [IndexGlue],
    /// Decodes a stored value, of this version or an earlier one, to the key bytes and index keys of this version.
    pub rows: fn(value: &[u8]) -> Result<RecordRows, String>,
    /// Makes a stored value of this version of one of an earlier version.
    pub convert: fn(value: &[u8]) -> Result<Vec<u8>, String>,
    /// Traces the shape of the value; called once when a schema is opened.
    pub describe: fn() -> Result<RecordDescriptor, String>,
    /// The version before, if it can still be read. Its name says nothing.
    pub before: Option<&'static RecordGlue>,
    /// Whether the nodes do not agree on its writes.
    pub eventual: bool,
}

impl RecordGlue {
    /// This version and those before it, the newest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &RecordGlue> {
        std::iter::successors(Some(self), |glue| glue.before)
    }

    /// The glue of a version.
    pub(crate) fn at(&self, version: u8) -> Option<&RecordGlue> {
        self.versions().find(|glue| glue.version == version)
    }

    /// The glue of the version in which a value is stored, and the rows that it takes in that one.
    pub(crate) fn rows_as_stored(&self, value: &[u8]) -> Result<(&RecordGlue, RecordRows), String> {
        let version = value.first().ok_or("it is empty")?;
        let glue = self.at(*version).ok_or_else(|| unknown_version(*version))?;
        let rows = (glue.rows)(value)?;
        if rows.index_keys.len() != glue.indexes.len() {
            return Err("the record type gave another number of index keys than it has indexes".to_owned());
        }
        Ok((glue, rows))
    }

    pub(crate) fn index(&self, id: IndexId) -> Option<&IndexGlue> {
        self.indexes.iter().find(|index| IndexId::named(index.name) == id)
    }

    /// The newest version that has this index.
    pub(crate) fn of_index(&self, id: IndexId) -> Option<&RecordGlue> {
        self.versions().find(|glue| glue.index(id).is_some())
    }

    /// Whether the index of these rows is the same in every version from `floor` to `active`: then it holds every record,
    /// whichever of these its row is in.
    pub(crate) fn is_index_whole(&self, id: IndexId, floor: u8, active: u8) -> bool {
        let Some(ours) = self.index(id) else { return false };
        (floor..=active).all(|version| {
            let theirs = self.at(version).and_then(|glue| glue.index(id));
            theirs.is_some_and(|theirs| theirs.is_same(ours))
        })
    }

    /// The newest version that has this index as it is in the version that is written; where that one has none of this name,
    /// the newest that has one.
    pub(crate) fn for_index(&self, id: IndexId, active: Option<u8>) -> Option<&RecordGlue> {
        let written = active.and_then(|version| self.at(version)?.index(id));
        let is_same = |index: &IndexGlue| written.is_none_or(|written| written.is_same(index));
        self.versions().find(|glue| glue.index(id).is_some_and(is_same))
    }
}

fn unknown_version(version: u8) -> String {
    format!("it was written in version {version}, which this program does not know")
}

/// One index of a record type.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct IndexGlue {
    pub name: &'static str,
    pub unique: bool,
    pub form: fn() -> KeyForm,
}

impl IndexGlue {
    /// Whether both have the same keys, of a record with the same values, and bind them alike.
    fn is_same(&self, other: &IndexGlue) -> bool {
        self.unique == other.unique && self.has_form_of(other)
    }

    /// Whether a key of one is a key of the other.
    pub(crate) fn has_form_of(&self, other: &IndexGlue) -> bool {
        (self.form)() == (other.form)()
    }
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
    version: u8,
    indexes: &'static [IndexGlue],
    describe: fn() -> Result<RecordDescriptor, String>,
    before: Option<&'static RecordGlue>,
) -> RecordGlue {
    let name = R::NAME;
    RecordGlue { name, version, indexes, rows: rows::<R>, convert: convert::<R>, describe, before, eventual: false }
}

/// The glue of a record whose writes the nodes do not agree on.
#[doc(hidden)]
#[must_use]
pub const fn eventual(glue: RecordGlue) -> RecordGlue {
    RecordGlue { eventual: true, ..glue }
}

fn rows<R: Record>(value: &[u8]) -> Result<RecordRows, String> {
    total(|| {
        let record = R::__decode(value).map_err(reason)?;
        Ok(RecordRows { key: record.key().to_bytes(), index_keys: record.__index_keys() })
    })
}

fn convert<R: Record>(value: &[u8]) -> Result<Vec<u8>, String> {
    total(|| R::__decode(value).and_then(|record| record.__encode()).map_err(reason))
}

/// `apply` must be total, and a `Deserialize` or `From` written by hand may panic on bytes that no `Serialize` wrote.
fn total<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("reading the value back panicked".to_owned()))
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
    let RecordGlue { version, before, .. } = R::__GLUE;
    let mut versions = match before {
        Some(before) => (before.describe)()?.versions,
        None => Vec::new(),
    };
    versions.push(VersionDescriptor::new(version, key_fields, R::Key::form(), shape?, indexes));
    Ok(RecordDescriptor { name: R::NAME.to_owned(), versions })
}

/// Whether a value is in this version, for the generated `__decode`.
#[doc(hidden)]
#[must_use]
pub fn is_version(bytes: &[u8], version: u8) -> bool {
    bytes.first() == Some(&version)
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
    fn __to_value(&self, version: u8, record: &str) -> Result<Vec<u8>, Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> RecordSerialize for T {
    fn __to_value(&self, version: u8, record: &str) -> Result<Vec<u8>, Error> {
        let mut value = vec![version];
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
    fn __from_value(bytes: &[u8], version: u8, record: &str) -> Result<Self, Error>;
    #[doc(hidden)]
    fn __shape() -> Result<shape::Shape, String>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> RecordDeserialize for T {
    fn __from_value(bytes: &[u8], version: u8, record: &str) -> Result<Self, Error> {
        let failed = |reason: String| Error::Codec { record: record.to_owned(), reason };
        match bytes.split_first() {
            Some((written, fields)) if *written == version => {
                codec::decode(fields).map_err(|error| failed(error.to_string()))
            }
            Some((written, _)) => Err(failed(unknown_version(*written))),
            None => Err(failed("it is empty".to_owned())),
        }
    }

    fn __shape() -> Result<shape::Shape, String> {
        shape::trace::<T>()
    }
}

/// Is made of the version before it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made of `{Before}`, the version before it",
    label = "write `impl From<{Before}> for {Self}`",
    note = "what was stored as `{Before}` is read through it"
)]
pub trait MadeFrom<Before>: Sized {
    #[doc(hidden)]
    fn __made_from(before: Before) -> Self;
}

#[diagnostic::do_not_recommend]
impl<Before, T: From<Before>> MadeFrom<Before> for T {
    fn __made_from(before: Before) -> Self {
        before.into()
    }
}

/// Can be written as the version before it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written as `{Before}`, the version before it",
    label = "write `impl From<{Self}> for {Before}`, or remove `into`",
    note = "as long as a member of the cluster knows only `{Before}`, that is what is written"
)]
pub trait WrittenAs<Before>: Sized {
    #[doc(hidden)]
    fn __written_as(self) -> Before;
}

#[diagnostic::do_not_recommend]
impl<Before, T: Into<Before>> WrittenAs<Before> for T {
    fn __written_as(self) -> Before {
        self.into()
    }
}

/// A key over the same types as another record's.
#[diagnostic::on_unimplemented(
    message = "the key of a record cannot change from one version to the next",
    label = "the key of this version is made of other types",
    note = "rows are found by their keys: declare the same `key` fields, or store the record under another `name` and copy it over"
)]
pub trait SameKeyAs<Parts> {
    /// Named where it is asked for.
    #[doc(hidden)]
    const SAME: () = ();
}
