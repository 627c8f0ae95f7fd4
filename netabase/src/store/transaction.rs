//! Transactions of a store alone: one writer at a time, so that none ever has to run again.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

use super::{Inner, Store, encode};
use crate::command::Write;
use crate::error::Result;
use crate::schema::{IntoKey, Key, Member, Query, RecordId, Schema};
use crate::storage::{Draft, Selecting};

/// A transaction under way: its reads see its own writes; nobody else sees them before it is done.
pub struct StoreTx<'s, S: Schema> {
    inner: &'s Inner,
    draft: RefCell<Draft<'s>>,
    round: u64,
    schema: PhantomData<fn() -> S>,
}

impl<S: Schema> Store<S> {
    /// Runs a closure whose writes are on the disk together when this returns, or never were.
    ///
    /// Other writers wait for it; readers see what was before. A write of the store itself inside the closure would wait
    /// for ever: use `tx`.
    ///
    /// # Errors
    /// What the closure returned; [`Error::Storage`](crate::Error::Storage) when the disk fails.
    pub fn transaction<T>(&self, run: impl FnOnce(&StoreTx<'_, S>) -> Result<T>) -> Result<T> {
        let mut writer = self.inner.writer()?;
        let now_ms = self.inner.expire(&mut writer)?;
        let round = writer.store.applied() + 1;
        let value = {
            let mut draft = writer.store.draft();
            draft.read_as_of(now_ms);
            let tx = StoreTx { inner: &self.inner, draft: RefCell::new(draft), round, schema: PhantomData };
            let value = run(&tx)?;
            tx.draft.into_inner().install(round)?;
            value
        };
        writer.flush()?;
        Ok(value)
    }
}

impl<S: Schema> StoreTx<'_, S> {
    /// The record under this key.
    ///
    /// # Errors
    /// As [`Store::get_record`].
    pub fn get_record<R: Member<S>>(&self, key: impl IntoKey<R::Key>) -> Result<Option<R>> {
        let row = self.draft.borrow().record(RecordId::of_member::<S, R>(), &R::__GLUE, &key.into_key().to_bytes())?;
        row.map(|(_, value)| R::__decode(&value)).transpose()
    }

    /// The records that a query selects, in its order.
    ///
    /// # Errors
    /// As [`Store::query`].
    pub fn query<R: Member<S>>(&self, query: Query<R>) -> Result<Vec<R>> {
        let draft = self.draft.borrow();
        draft.select(&query.plan::<S>(), &R::__GLUE)?.map(|row| R::__decode(&row?.value)).collect()
    }

    /// How many records a query selects, without reading them.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub fn count<R: Member<S>>(&self, query: Query<R>) -> Result<u64> {
        self.draft.borrow().count(&query.plan::<S>(), &R::__GLUE)
    }

    /// Stores a record, in place of the one under its key.
    ///
    /// # Errors
    /// As [`Store::put_record`]; the transaction is as it was before the call.
    pub fn put_record<R: Member<S>>(&self, record: R) -> Result<()> {
        let value = encode::<S, R>(&record)?;
        self.write(&Write::Put { record: RecordId::of_member::<S, R>(), value })
    }

    /// Stores a record where there is none under its key yet.
    ///
    /// # Errors
    /// As [`Store::insert_record`]; the transaction is as it was before the call.
    pub fn insert_record<R: Member<S>>(&self, record: R) -> Result<()> {
        let value = encode::<S, R>(&record)?;
        self.write(&Write::Insert { record: RecordId::of_member::<S, R>(), value })
    }

    /// Removes the record under this key, if there is one.
    ///
    /// # Errors
    /// As [`Store::remove_record`].
    pub fn remove_record<R: Member<S>>(&self, key: impl IntoKey<R::Key>) -> Result<()> {
        let key = Bytes::from(key.into_key().to_bytes());
        self.write(&Write::Remove { record: RecordId::of_member::<S, R>(), key })
    }

    fn write(&self, write: &Write) -> Result<()> {
        let mut draft = self.draft.borrow_mut();
        let (rows, outcome) = self.inner.rule.apply(&*draft, &self.inner.versions, write, self.round)?;
        outcome.map_err(|refusal| refusal.into_error(&self.inner.catalog))?;
        draft.write(rows);
        Ok(())
    }
}

impl<S: Schema> fmt::Debug for StoreTx<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTx").finish_non_exhaustive()
    }
}
