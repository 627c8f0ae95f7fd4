//! `Store`: the typed store alone, without network or consensus, synchronous.
//!
//! ```text
//! put, remove, transaction --rule--> draft --install--> view --flush--> engine       reads: view
//! ```
//! Must hold: what a call has returned is on the disk; a call that was refused changed nothing, and after one that the
//! disk failed there are no more writes; one writer at a time, readers wait for nobody. The rule, the rows and the queries are those of a node.

mod batch;
mod expire;
mod transaction;
mod upgrade;

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub use self::transaction::StoreTx;
use crate::command::Write;
use crate::error::{Error, Result};
pub use crate::machine::Verified;
use crate::machine::{Keeper, Rule, Versions, adopt, verify};
use crate::receipt::Receipt;
use crate::schema::{Catalog, IntoKey, Key, Member, Query, RecordId, Schema};
use crate::storage::{self, Engine, MemoryEngine, RedbEngine, Selecting, StoreError, StoreKind, View, Views};

/// The largest record: engines take no more than a little above.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// The records of a schema in one file, for a program of its own: no network, no consensus, no async.
///
/// Cheap to clone; every clone is the same store. A write is on the disk when it returns.
///
/// ```
/// use netabase::prelude::*;
/// use netabase::store::Store;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
/// struct Account {
///     #[netabase(key)]
///     id: u64,
///     #[netabase(unique)]
///     email: String,
///     balance: i64,
/// }
///
/// # fn main() -> netabase::Result<()> {
/// # let directory = tempfile::tempdir().expect("a temporary directory");
/// let store = Store::<Account>::open(directory.path().join("accounts.redb"), StoreKind::Redb)?;
/// store.put_record(Account { id: 7, email: "a@x.org".into(), balance: 10 })?;
/// store.transaction(|tx| {
///     let mut account = tx.get_record::<Account>(7)?.ok_or_else(|| Error::abort("no such account"))?;
///     account.balance -= 5;
///     tx.put_record(account)
/// })?;
/// assert_eq!(store.query(Account::by_email("a@x.org"))?[0].balance, 5);
/// assert_eq!(store.verify()?.records, 1);
/// # Ok(())
/// # }
/// ```
pub struct Store<S> {
    inner: Arc<Inner>,
    schema: PhantomData<fn() -> S>,
}

struct Inner {
    catalog: Catalog,
    rule: Rule,
    /// Every record type in the version of this program; rows that could not be converted are in an earlier one.
    versions: Versions,
    views: Views,
    writer: Mutex<Writer>,
}

struct Writer {
    store: storage::Store,
    /// A write that did not reach the disk may be seen: nothing more is written until the store is opened anew.
    failed: bool,
}

impl<S> Store<S> {
    /// Opens the store at `path`, or makes it there: a file with redb, a directory with sled. In memory the path says
    /// nothing.
    ///
    /// # Errors
    /// [`Error::DataDirectory`] when the file is locked, damaged or another's, [`Error::SchemaMismatch`] when it was
    /// written with another schema, [`Error::Storage`] when the disk fails.
    pub fn open(path: impl AsRef<Path>, kind: StoreKind) -> Result<Self>
    // Here and not at the type, where what is no schema would be told so twice.
    where
        S: Schema,
    {
        let catalog = Catalog::of::<S>()?;
        let engine: Arc<dyn Engine> = match kind {
            StoreKind::Redb => Arc::new(RedbEngine::open_file(path.as_ref())?),
            StoreKind::Memory => Arc::new(MemoryEngine::default()),
            #[cfg(feature = "sled")]
            StoreKind::Sled => Arc::new(storage::SledEngine::open_directory(path.as_ref())?),
        };
        // Nobody watches.
        let mut store = storage::Store::open_with(engine, 0)?;
        let versions = adopt(&mut store, &catalog, Keeper::Alone, &catalog.newest())?;
        expire::tell_if_ahead(&store.view())?;
        let (rule, views) = (Rule::new(&catalog), store.views());
        let mut writer = Writer { store, failed: false };
        // As it is stored: in another version it may expire later, or never.
        expire::sweep(&mut writer, &rule, &versions)?;
        let versions = upgrade::to_newest(&mut writer, &catalog, &rule, versions)?;
        let inner = Inner { catalog, rule, versions, views, writer: Mutex::new(writer) };
        Ok(Store { inner: Arc::new(inner), schema: PhantomData })
    }
}

impl<S: Schema> Store<S> {
    /// The record under this key.
    ///
    /// # Errors
    /// [`Error::Codec`] when the stored value cannot be read, [`Error::Storage`] when the disk cannot.
    pub fn get_record<R: Member<S>>(&self, key: impl IntoKey<R::Key>) -> Result<Option<R>> {
        let row = self.view().record(RecordId::of_member::<S, R>(), &R::__GLUE, &key.into_key().to_bytes())?;
        row.map(|(_, value)| R::__decode(&value)).transpose()
    }

    /// The records that a query selects, in its order, all as of one moment.
    ///
    /// # Errors
    /// As [`Store::get_record`].
    pub fn query<R: Member<S>>(&self, query: Query<R>) -> Result<Vec<R>> {
        self.view().select(&query.plan::<S>(), &R::__GLUE)?.map(|row| R::__decode(&row?.value)).collect()
    }

    /// How many records a query selects, without reading them.
    ///
    /// # Errors
    /// [`Error::Storage`] when the disk cannot be read.
    pub fn count<R: Member<S>>(&self, query: Query<R>) -> Result<u64> {
        self.view().count(&query.plan::<S>(), &R::__GLUE)
    }

    /// Stores a record, in place of the one under its key.
    ///
    /// # Errors
    /// [`Error::UniqueViolation`], [`Error::RecordTooLarge`], [`Error::Codec`]; [`Error::Storage`] when the disk fails,
    /// after which the store takes no more writes: open it anew.
    pub fn put_record<R: Member<S>>(&self, record: R) -> Result<Receipt> {
        let value = encode::<S, R>(&record)?;
        self.write(Write::Put { record: RecordId::of_member::<S, R>(), value })
    }

    /// Stores a record where there is none under its key yet.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], and as [`Store::put_record`].
    pub fn insert_record<R: Member<S>>(&self, record: R) -> Result<Receipt> {
        let value = encode::<S, R>(&record)?;
        self.write(Write::Insert { record: RecordId::of_member::<S, R>(), value })
    }

    /// Removes the record under this key; [`Receipt::existed`] tells whether there was one.
    ///
    /// # Errors
    /// As [`Store::put_record`].
    pub fn remove_record<R: Member<S>>(&self, key: impl IntoKey<R::Key>) -> Result<Receipt> {
        let key = Bytes::from(key.into_key().to_bytes());
        self.write(Write::Remove { record: RecordId::of_member::<S, R>(), key })
    }

    /// Checks every record and every index row against each other; the file's own checksums on the way.
    ///
    /// # Errors
    /// [`Error::DataDirectory`] with the first thing that is wrong.
    pub fn verify(&self) -> Result<Verified> {
        verify(&self.view(), &self.inner.catalog)
    }

    fn view(&self) -> View {
        self.inner.views.view()
    }

    fn write(&self, write: Write) -> Result<Receipt> {
        let mut writer = self.inner.writer()?;
        self.inner.expire(&mut writer)?;
        let round = writer.store.applied() + 1;
        let mut draft = writer.store.draft();
        let (rows, outcome) = self.inner.rule.apply(&draft, &self.inner.versions, &write, round)?;
        let applied = outcome.map_err(|refusal| refusal.into_error(&self.inner.catalog))?;
        draft.write(rows);
        draft.install(round)?;
        writer.flush()?;
        Ok(Receipt::local(applied))
    }
}

impl Inner {
    fn writer(&self) -> Result<MutexGuard<'_, Writer>> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.failed {
            return Err(
                StoreError::Failed("an earlier write did not reach the disk: open the store anew".into()).into()
            );
        }
        Ok(writer)
    }
}

impl Writer {
    /// Makes durable what was installed.
    fn flush(&mut self) -> Result<()> {
        let Some(flush) = self.store.begin_flush() else { return Ok(()) };
        let done = flush.run([]).inspect_err(|_| self.failed = true)?;
        drop(self.store.end_flush(done)?);
        Ok(())
    }
}

fn encode<S: Schema, R: Member<S>>(record: &R) -> Result<Bytes> {
    let value = record.__encode()?;
    if value.len() > RECORD_BYTES_MAX {
        let (record, bytes) = (R::NAME.to_owned(), value.len());
        return Err(Error::RecordTooLarge { record, bytes, bytes_max: RECORD_BYTES_MAX });
    }
    Ok(Bytes::from(value))
}

impl<S: Schema> Clone for Store<S> {
    fn clone(&self) -> Self {
        Store { inner: Arc::clone(&self.inner), schema: PhantomData }
    }
}

impl<S: Schema> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("catalog", &self.inner.catalog).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
