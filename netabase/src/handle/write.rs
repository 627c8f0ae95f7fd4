//! Writes: agreed on by a quorum, durable there, applied here.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{Answer, Netabase, Receipt};
use crate::command::{Applied, Write};
use crate::consensus::{OUTSTANDING_MAX, Submitter};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::schema::{IntoKey, Key, Member, RecordId, Schema};

impl<S: Schema> Netabase<S> {
    /// Stores a record, in place of the one under its key.
    ///
    /// # Errors
    /// [`Error::UniqueViolation`], [`Error::RecordTooLarge`], [`Error::Codec`], [`Error::NoQuorum`]: it did not happen.
    /// [`Error::Timeout`], [`Error::ConnectionLost`]: it may have, see [`Error::may_have_happened`].
    pub fn put_record<R: Member<S>>(&self, record: R) -> Answer<Receipt> {
        let record_id = RecordId::of_member::<S, R>();
        self.write(encode::<S, R>(&self.node, &record).map(|value| Write::Put { record: record_id, value }))
    }

    /// Stores a record where there is none under its key yet.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], and as [`Netabase::put_record`].
    pub fn insert_record<R: Member<S>>(&self, record: R) -> Answer<Receipt> {
        let record_id = RecordId::of_member::<S, R>();
        self.write(encode::<S, R>(&self.node, &record).map(|value| Write::Insert { record: record_id, value }))
    }

    /// Removes the record under this key; [`Receipt::existed`] tells whether there was one.
    ///
    /// # Errors
    /// As [`Netabase::put_record`].
    pub fn remove_record<R: Member<S>>(&self, key: impl IntoKey<R::Key>) -> Answer<Receipt> {
        let key = Bytes::from(key.into_key().to_bytes());
        self.write(
            check_size(&self.node, R::NAME, key.len())
                .map(|()| Write::Remove { record: RecordId::of_member::<S, R>(), key }),
        )
    }

    /// Stores any number of records, many at once; not atomically. Records with the same key are stored in their order.
    ///
    /// # Errors
    /// [`Error::Batch`]: which record failed first, why, and how many are in. Records after it may be in, too.
    pub fn put_records<R, I>(&self, records: I) -> Answer<Receipt>
    where
        R: Member<S>,
        I: IntoIterator<Item = R>,
        I::IntoIter: Send + 'static,
    {
        let (this, records) = (self.clone(), records.into_iter());
        Answer::pending(async move { this.put_all(records).await })
    }

    async fn put_all<R: Member<S>>(&self, records: impl Iterator<Item = R> + Send) -> Result<Receipt> {
        let record_id = RecordId::of_member::<S, R>();
        let mut pipeline = Pipeline::default();
        let mut last = Receipt::nothing();
        for (index, record) in (0..).zip(records) {
            let key = record.key().to_bytes();
            // Two commands of one session may be applied in either order; one key's must not.
            while pipeline.is_full() || pipeline.keys.contains(&key) {
                last = pipeline.finish_one().await?;
            }
            match encode::<S, R>(&self.node, &record) {
                Ok(value) => {
                    let write = Write::Put { record: record_id, value };
                    pipeline.push(index, key, Arc::clone(&self.node.submitter).submit(write));
                }
                Err(source) => {
                    while !pipeline.running.is_empty() {
                        let _ = pipeline.finish_one().await?;
                    }
                    return Err(Error::Batch { applied: pipeline.applied, index, source: Box::new(source) });
                }
            }
        }
        while !pipeline.running.is_empty() {
            last = pipeline.finish_one().await?;
        }
        Ok(last)
    }

    fn write(&self, write: Result<Write>) -> Answer<Receipt> {
        match write {
            Ok(write) => {
                let submitter: Arc<Submitter> = Arc::clone(&self.node.submitter);
                Answer::pending(async move { submitter.submit(write).await.map(Receipt::of) })
            }
            Err(error) => Answer::ready(Err(error)),
        }
    }
}

/// The stored value of a record that is not too large.
pub(super) fn encode<S: Schema, R: Member<S>>(node: &Node, record: &R) -> Result<Bytes> {
    let value = record.__encode()?;
    check_size(node, R::NAME, value.len())?;
    Ok(Bytes::from(value))
}

pub(super) fn check_size(node: &Node, record: &str, bytes: usize) -> Result<()> {
    let bytes_max = node.record_bytes_max;
    if bytes > bytes_max {
        return Err(Error::RecordTooLarge { record: record.to_owned(), bytes, bytes_max });
    }
    Ok(())
}

/// Commands of one `put_records` under way, in the order of their records.
#[derive(Default)]
struct Pipeline {
    running: VecDeque<(u64, Vec<u8>, BoxFuture<'static, Result<Applied>>)>,
    keys: HashSet<Vec<u8>>,
    applied: u64,
}

impl Pipeline {
    fn is_full(&self) -> bool {
        // Half of what a session may await: other writes of the handle go on beside it.
        self.running.len() >= OUTSTANDING_MAX / 2
    }

    fn push(&mut self, index: u64, key: Vec<u8>, write: impl Future<Output = Result<Applied>> + Send + 'static) {
        let write = tokio::spawn(write);
        let write = Box::pin(async move { write.await.unwrap_or(Err(Error::ShutDown)) });
        self.keys.insert(key.clone());
        self.running.push_back((index, key, write));
    }

    /// Waits for the first one.
    async fn finish_one(&mut self) -> Result<Receipt> {
        let Some((index, key, write)) = self.running.pop_front() else { return Ok(Receipt::nothing()) };
        let result = write.await;
        self.keys.remove(&key);
        match result {
            Ok(applied) => {
                self.applied += 1;
                Ok(Receipt::of(applied))
            }
            Err(source) => Err(Error::Batch { applied: self.applied, index, source: Box::new(source) }),
        }
    }
}
