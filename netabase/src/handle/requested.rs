//! Calls that their caller names, so that the caller may repeat them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use super::origin::Origin;
use super::transaction::{transact, update};
use super::write::{check_size, encode, once_swept};
use super::{Answer, Netabase, Receipt, Tx};
use crate::command::{Action, RequestId, Transaction, Write};
use crate::error::{Error, Result};
use crate::schema::{Agreed, IntoKey, Key, Member, RecordId, Schema};

/// Writes under a name of the caller's choice: done once, however often they are called.
///
/// Made by [`Netabase::request_id`].
pub struct Requested<S: Schema> {
    origin: Origin,
    request: RequestId,
    schema: PhantomData<fn() -> S>,
}

impl<S: Schema> Netabase<S> {
    /// Names the next write, so that it may be called again after an error that leaves its outcome open, from this
    /// program or another one: it is done once, and every call returns the first one's outcome.
    ///
    /// One id names one write, in the whole cluster: another write under a known id is not done. The outcomes of the last
    /// 65,536 named writes are kept, in the order in which they were agreed on; under an older id a call is a new one. A
    /// closure runs again with each call; what it returns is that of the latest run, what is written that of the first.
    ///
    /// ```
    /// # use netabase::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64, balance: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> netabase::Result<()> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// # let db = Netabase::<Account>::start().data_dir(directory.path()).await?;
    /// db.put_record(Account { id: 7, balance: 10 }).await?;
    /// let order = *b"order 2026-11-24";
    /// for _ in 0..3 {
    ///     db.request_id(order).update_record::<Account>(7, |account| account.balance += 5).await?;
    /// }
    /// assert_eq!(db.get_record::<Account>(7).await?.map(|account| account.balance), Some(15));
    /// # db.shutdown().await
    /// # }
    /// ```
    #[must_use]
    pub fn request_id(&self, id: [u8; 16]) -> Requested<S> {
        Requested { origin: self.origin.clone(), request: RequestId(id), schema: PhantomData }
    }
}

impl<S: Schema> Requested<S> {
    /// As [`Netabase::put_record`].
    ///
    /// # Errors
    /// As [`Netabase::put_record`].
    pub fn put_record<R: Member<S> + Agreed>(&self, record: R) -> Answer<Receipt> {
        let value = encode::<S, R>(&self.origin, &record);
        self.write::<R>(value.map(|value| Write::Put { record: RecordId::of_member::<S, R>(), value }))
    }

    /// As [`Netabase::insert_record`].
    ///
    /// # Errors
    /// As [`Netabase::insert_record`].
    pub fn insert_record<R: Member<S> + Agreed>(&self, record: R) -> Answer<Receipt> {
        let value = encode::<S, R>(&self.origin, &record);
        self.write::<R>(value.map(|value| Write::Insert { record: RecordId::of_member::<S, R>(), value }))
    }

    /// As [`Netabase::remove_record`].
    ///
    /// # Errors
    /// As [`Netabase::remove_record`].
    pub fn remove_record<R: Member<S> + Agreed>(&self, key: impl IntoKey<R::Key>) -> Answer<Receipt> {
        let key = Bytes::from(key.into_key().to_bytes());
        let size = check_size(&self.origin, R::NAME, key.len());
        self.write::<R>(size.map(|()| Write::Remove { record: RecordId::of_member::<S, R>(), key }))
    }

    /// As [`Netabase::update_record`].
    ///
    /// # Errors
    /// As [`Netabase::update_record`].
    pub fn update_record<R: Member<S> + Agreed>(
        &self,
        key: impl IntoKey<R::Key>,
        change: impl Fn(&mut R) + Send + Sync + 'static,
    ) -> Answer<Option<Receipt>> {
        update(self.origin.clone(), Some(self.request), key.into_key(), change)
    }

    /// As [`Netabase::transaction`].
    ///
    /// # Errors
    /// As [`Netabase::transaction`].
    pub async fn transaction<T, F, Fut>(&self, run: F) -> Result<(Receipt, T)>
    where
        F: Fn(Tx<S>) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        transact(&self.origin, Some(self.request), run).await
    }

    fn write<R: Member<S>>(&self, write: Result<Write>) -> Answer<Receipt> {
        let write = match write {
            Ok(write) => write,
            Err(error) => return Answer::ready(Err(error)),
        };
        let (origin, request) = (self.origin.clone(), self.request);
        Answer::pending(async move {
            if R::__GLUE.expires() {
                match once_swept::<S>(&origin, Some(request), write.clone()).await {
                    // Here it would be refused: what it was the first time is in the log.
                    Err(Error::AlreadyExists { .. } | Error::UniqueViolation { .. }) => {}
                    outcome => return outcome,
                }
            }
            let transaction = Transaction { request: Some(request), reads: Vec::new(), writes: vec![write] };
            origin.submitter().submit(Action::Transact(Arc::new(transaction))).await.map(Receipt::of)
        })
    }
}

impl<S: Schema> Clone for Requested<S> {
    fn clone(&self) -> Self {
        Requested { origin: self.origin.clone(), request: self.request, schema: PhantomData }
    }
}

impl<S: Schema> fmt::Debug for Requested<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requested").field("request", &self.request).finish_non_exhaustive()
    }
}
