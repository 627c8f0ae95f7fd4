//! Writes: agreed on by a quorum, durable there, applied here.

use std::collections::HashSet;
use std::collections::VecDeque;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::origin::Origin;
use super::transaction::transact;
use super::{Answer, Netabase, Receipt, Tx};
use crate::command::{RequestId, Write};
use crate::consensus::OUTSTANDING_MAX;
use crate::error::{Error, Result};
use crate::schema::{IntoKey, Key, Member, RecordId, Schema};

impl<S: Schema> Netabase<S> {
    /// Stores a record, in place of the one under its key.
    ///
    /// # Errors
    /// [`Error::UniqueViolation`], [`Error::RecordTooLarge`], [`Error::Codec`], [`Error::NoQuorum`]: it did not happen.
    /// [`Error::Timeout`], [`Error::ConnectionLost`]: it may have, see [`Error::may_have_happened`].
    pub fn put_record<R: Member<S>>(&self, record: R) -> Answer<Receipt> {
        let record_id = RecordId::of_member::<S, R>();
        self.write::<R>(encode::<S, R>(&self.origin, &record).map(|value| Write::Put { record: record_id, value }))
    }

    /// Stores a record where there is none under its key yet. One there that has expired, so that no read shows it, is given
    /// up to 2 seconds to be removed, here and wherever such a one has a unique value that is written.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], and as [`Netabase::put_record`].
    pub fn insert_record<R: Member<S>>(&self, record: R) -> Answer<Receipt> {
        let record_id = RecordId::of_member::<S, R>();
        self.write::<R>(encode::<S, R>(&self.origin, &record).map(|value| Write::Insert { record: record_id, value }))
    }

    /// Removes the record under this key; [`Receipt::existed`] tells whether there was one.
    ///
    /// # Errors
    /// As [`Netabase::put_record`].
    pub fn remove_record<R: Member<S>>(&self, key: impl IntoKey<R::Key>) -> Answer<Receipt> {
        let key = Bytes::from(key.into_key().to_bytes());
        self.write::<R>(
            check_size(&self.origin, R::NAME, key.len())
                .map(|()| Write::Remove { record: RecordId::of_member::<S, R>(), key }),
        )
    }

    /// Stores any number of records, many at once, in constant memory; not atomically. Records with the same key are
    /// stored in their order. It waits while as many writes are under way as may be.
    ///
    /// # Errors
    /// [`Error::Batch`]: which record failed first, why, and how many are in. No record is sent after one has failed; of
    /// those that were on their way then, some are in.
    pub fn put_records<R, I>(&self, records: I) -> Answer<Receipt>
    where
        R: Member<S>,
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'static,
    {
        let (origin, records) = (self.origin.clone(), records.into_iter());
        Answer::pending(async move { put_all::<S, R>(&origin, records).await })
    }

    fn write<R: Member<S>>(&self, write: Result<Write>) -> Answer<Receipt> {
        match write {
            Ok(write) => Answer::pending(submit::<S, R>(self.origin.clone(), write)),
            Err(error) => Answer::ready(Err(error)),
        }
    }
}

/// Has a write agreed on. One that is refused by a record that has expired, so that no read shows it, waits for its removal.
async fn submit<S: Schema, R: Member<S>>(origin: Origin, write: Write) -> Result<Receipt> {
    if !R::__GLUE.expires() {
        return origin.submitter().submit(write).await.map(Receipt::of);
    }
    match origin.submitter().submit(write.clone()).await {
        Err(Error::AlreadyExists { .. } | Error::UniqueViolation { .. }) => once_swept::<S>(&origin, None, write).await,
        outcome => outcome.map(Receipt::of),
    }
}

/// Writes in a transaction, which runs again for some time while a record that no read shows is in the way.
pub(super) async fn once_swept<S: Schema>(
    origin: &Origin,
    request: Option<RequestId>,
    write: Write,
) -> Result<Receipt> {
    let write = &write;
    let run = move |tx: Tx<S>| async move { tx.write(write.clone()) };
    transact(origin, request, run).await.map(|(receipt, ())| receipt)
}

/// The stored value of a record that is not too large.
pub(super) fn encode<S: Schema, R: Member<S>>(origin: &Origin, record: &R) -> Result<Bytes> {
    let value = match R::__GLUE.before {
        None => record.__encode()?,
        Some(_) => as_written::<S, R>(origin, record)?,
    };
    check_size(origin, R::NAME, value.len())?;
    Ok(Bytes::from(value))
}

/// The stored value in the version that every member reads.
fn as_written<S: Schema, R: Member<S>>(origin: &Origin, record: &R) -> Result<Vec<u8>> {
    let active = origin.active(RecordId::of_member::<S, R>())?;
    let value = active.map(|active| record.__encode_as(active)).transpose()?.flatten();
    value.ok_or_else(|| Error::UpgradePending { record: R::__NAME.to_owned(), active })
}

pub(super) fn check_size(origin: &Origin, record: &str, bytes: usize) -> Result<()> {
    let bytes_max = origin.record_bytes_max();
    if bytes > bytes_max {
        return Err(Error::RecordTooLarge { record: record.to_owned(), bytes, bytes_max });
    }
    Ok(())
}

async fn put_all<S: Schema, R: Member<S>>(origin: &Origin, records: impl Iterator<Item = R> + Send) -> Result<Receipt> {
    let record_id = RecordId::of_member::<S, R>();
    let mut pipeline = Pipeline::default();
    for (index, record) in (0..).zip(records) {
        let key = record.key().to_bytes();
        // Two commands of one session may be applied in either order; one key's must not.
        while pipeline.is_full() || pipeline.keys.contains(&key) {
            pipeline.finish_one().await;
        }
        if pipeline.failed.is_some() {
            break;
        }
        match encode::<S, R>(origin, &record) {
            Ok(value) => {
                let write = Write::Put { record: record_id, value };
                pipeline.push(index, key, submit::<S, R>(origin.clone(), write));
            }
            Err(source) => {
                pipeline.fail(index, source);
                break;
            }
        }
    }
    pipeline.finish().await
}

/// Commands of one `put_records` under way, in the order of their records.
struct Pipeline {
    running: VecDeque<(u64, Vec<u8>, BoxFuture<'static, Result<Receipt>>)>,
    keys: HashSet<Vec<u8>>,
    applied: u64,
    last: Receipt,
    /// The first record, by its place in the input, that is known to have failed.
    failed: Option<(u64, Error)>,
}

impl Default for Pipeline {
    fn default() -> Self {
        Pipeline { running: VecDeque::new(), keys: HashSet::new(), applied: 0, last: Receipt::nothing(), failed: None }
    }
}

impl Pipeline {
    fn is_full(&self) -> bool {
        // Half of what a session may await: other writes of the handle go on beside it.
        self.running.len() >= OUTSTANDING_MAX / 2
    }

    fn push(&mut self, index: u64, key: Vec<u8>, write: impl Future<Output = Result<Receipt>> + Send + 'static) {
        let write = tokio::spawn(write);
        let write = Box::pin(async move { write.await.unwrap_or(Err(Error::ShutDown)) });
        self.keys.insert(key.clone());
        self.running.push_back((index, key, write));
    }

    fn fail(&mut self, index: u64, source: Error) {
        // What is under way has lower places, and is waited for later.
        if self.failed.as_ref().is_none_or(|(first, _)| index < *first) {
            self.failed = Some((index, source));
        }
    }

    /// Waits for the first one.
    async fn finish_one(&mut self) {
        let Some((index, key, write)) = self.running.pop_front() else { return };
        let result = write.await;
        self.keys.remove(&key);
        match result {
            Ok(receipt) => {
                self.applied += 1;
                self.last = receipt;
            }
            Err(source) => self.fail(index, source),
        }
    }

    /// Waits for all of them.
    async fn finish(mut self) -> Result<Receipt> {
        while !self.running.is_empty() {
            self.finish_one().await;
        }
        match self.failed {
            None => Ok(self.last),
            Some((index, source)) => Err(Error::Batch { applied: self.applied, index, source: Box::new(source) }),
        }
    }
}
