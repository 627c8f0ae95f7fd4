//! `Query<R>`: which records, in which order, how many. Made by `Record` and the generated `by_…`; read by the handle.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;

use super::key::Key;
use super::plan::{After, Plan};
use super::record::Record;
use super::selection::{Bounds, IntoKey, IntoPrefix, IntoRange, IntoSelection};
use super::{IndexId, Member, RecordId, Schema};

/// Which records of a type to read, in which order, and how many.
///
/// Made by [`Record::all`], [`Record::range`], [`Record::prefix`] and the generated `by_…` functions; given to
/// `query`, `count`, `stream` and `watch`. The order is that of the key, or that of the index and then the key.
#[must_use = "a query reads nothing until it is given to `db.query(..)`"]
pub struct Query<R: Record> {
    index: Option<&'static str>,
    bounds: Bounds,
    limit: Option<usize>,
    reverse: bool,
    after: Option<After>,
    /// It goes on behind a record that is not in its index: nothing is there.
    ended: bool,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> Query<R> {
    fn new(index: Option<&'static str>, bounds: Bounds) -> Self {
        Query { index, bounds, limit: None, reverse: false, after: None, ended: false, record: PhantomData }
    }

    pub(crate) fn all() -> Self {
        Query::new(None, Bounds::everything())
    }

    pub(crate) fn range(range: impl IntoRange<R::Key>) -> Self {
        Query::new(None, range.into_bounds())
    }

    pub(crate) fn prefix(prefix: impl IntoPrefix<R::Key>) -> Self {
        Query::new(None, prefix.into_prefix())
    }

    /// What the generated `by_…` return.
    #[doc(hidden)]
    pub fn __index<K>(index: &'static str, selection: impl IntoSelection<K>) -> Self {
        Query::new(Some(index), selection.into_selection())
    }

    /// At most this many records.
    pub fn limit(mut self, records: usize) -> Self {
        self.limit = Some(records);
        self
    }

    /// From the last to the first.
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Only what comes behind this key, in the direction of the query.
    ///
    /// Over an index it goes on behind the row of the record that has this key when the query runs;
    /// [`after_record`](Query::after_record) does not depend on it being there still.
    pub fn after(mut self, key: impl IntoKey<R::Key>) -> Self {
        (self.after, self.ended) = (Some(After::Key(key.into_key().to_bytes())), false);
        self
    }

    /// Only what comes behind this record, in the order and direction of the query: the next page after its last one.
    pub fn after_record(mut self, record: &R) -> Self {
        let key = record.key().to_bytes();
        self.after = match self.index {
            None => Some(After::Key(key)),
            Some(name) => index_key(record, name).map(|index_key| After::Row { index_key, key }),
        };
        // It is not in the index, so nothing comes behind it.
        self.ended = self.after.is_none();
        self
    }

    /// The name of the index that it reads.
    pub(crate) fn index(&self) -> Option<&'static str> {
        self.index
    }

    /// The rows of the schema `S` to read, as bytes.
    pub(crate) fn plan<S: Schema>(&self) -> Plan
    where
        R: Member<S>,
    {
        Plan {
            record: RecordId::of_member::<S, R>(),
            index: self.index.map(IndexId::named),
            lower: self.bounds.lower.clone(),
            upper: self.bounds.upper.clone(),
            limit: if self.ended { Some(0) } else { self.limit },
            reverse: self.reverse,
            after: self.after.clone(),
        }
    }
}

fn index_key<R: Record>(record: &R, name: &str) -> Option<Vec<u8>> {
    let position = R::__GLUE.indexes.iter().position(|index| index.name == name)?;
    record.__index_keys().into_iter().nth(position).flatten()
}

impl<R: Record> Clone for Query<R> {
    fn clone(&self) -> Self {
        Query {
            index: self.index,
            bounds: self.bounds.clone(),
            limit: self.limit,
            reverse: self.reverse,
            after: self.after.clone(),
            ended: self.ended,
            record: PhantomData,
        }
    }
}

impl<R: Record> fmt::Debug for Query<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Bytes<'a>(&'a Bound<Vec<u8>>);
        impl fmt::Debug for Bytes<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Bound::Included(bytes) => write!(f, "Included({:02x?})", bytes.as_slice()),
                    Bound::Excluded(bytes) => write!(f, "Excluded({:02x?})", bytes.as_slice()),
                    Bound::Unbounded => f.write_str("Unbounded"),
                }
            }
        }
        f.debug_struct("Query")
            .field("record", &R::NAME)
            .field("index", &self.index)
            .field("lower", &Bytes(&self.bounds.lower))
            .field("upper", &Bytes(&self.bounds.upper))
            .field("limit", &self.limit)
            .field("reverse", &self.reverse)
            .field("after", &self.after)
            .finish()
    }
}
