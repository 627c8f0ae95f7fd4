//! Running a transaction's closure, again and again while others change what it read, and committing what it wrote.
//!
//! Must hold: nothing is sent before the closure has returned `Ok`; a run that met a conflict leaves nothing behind; the
//! next run sees at least what the conflict was about, since the outcome is this node's own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::origin::Origin;
use super::tx::{self, Run, VIEW_HELD, lock};
use super::{Answer, Netabase, Receipt, Tx};
use crate::client::{Ended, Foresight};
use crate::command::{Action, RequestId};
use crate::error::{Error, Result};
use crate::schema::{Agreed, IntoKey, Member, Schema};

/// How often a closure runs before its transaction ends in [`Error::Conflict`].
const RUNS_MAX: u32 = 64;
/// The greatest pause after the first conflict, doubled up to [`PAUSE_MAX`]; what is waited is random, from 0 up to it.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(64);
/// How often is looked whether what has expired is removed that stands in the way of a write.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

impl<S: Schema> Netabase<S> {
    /// Runs a closure whose reads and writes happen at one moment, or not at all; gives what the closure returned.
    ///
    /// Serialisable: if anything that it read has changed by the time of its commit, ranges of queries included, nothing
    /// happens and the closure runs again, up to 64 times with pauses in between. So it must not do anything that may
    /// not be done twice. A transaction that only reads costs no round: it sees one moment of this node's records.
    ///
    /// A write that a record refuses which has expired, so that no read shows it, makes the closure run again for up to 2
    /// seconds, within which that record mostly is removed.
    ///
    /// A closure that returns an error, [`Error::abort`] say, leaves no trace. One run may read for 5 seconds; after
    /// that its next read or write makes it run again.
    ///
    /// # Errors
    /// What the closure returned; [`Error::Conflict`], [`Error::TransactionTooLarge`], and as [`Netabase::put_record`].
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
    /// db.put_record(Account { id: 1, balance: 10 }).await?;
    /// db.put_record(Account { id: 2, balance: 0 }).await?;
    /// let (receipt, left) = db
    ///     .transaction(async |tx| {
    ///         let mut from = tx.get_record::<Account>(1).await?.ok_or_else(|| Error::abort("no such account"))?;
    ///         let mut to = tx.get_record::<Account>(2).await?.ok_or_else(|| Error::abort("no such account"))?;
    ///         from.balance -= 5;
    ///         to.balance += 5;
    ///         let left = from.balance;
    ///         tx.put_record(from)?;
    ///         tx.put_record(to)?;
    ///         Ok(left)
    ///     })
    ///     .await?;
    /// assert_eq!(left, 5);
    /// assert!(receipt.round().is_some());
    /// # db.shutdown().await
    /// # }
    /// ```
    pub async fn transaction<T, F, Fut>(&self, run: F) -> Result<(Receipt, T)>
    where
        F: Fn(Tx<S>) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        transact(&self.origin, None, run).await
    }

    /// Changes the record under this key, if there is one: read, changed and written at one moment. `None`: there is none,
    /// nor was there one that anybody had been told of before the call, also where this node is behind.
    ///
    /// The closure may run several times, each time on a fresh copy.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::NoQuorum`] when nobody confirms that there is none, and as [`Netabase::put_record`]; [`Error::Configuration`] when the closure changes the key.
    pub fn update_record<R: Member<S> + Agreed>(
        &self,
        key: impl IntoKey<R::Key>,
        change: impl Fn(&mut R) + Send + Sync + 'static,
    ) -> Answer<Option<Receipt>> {
        update(self.origin.clone(), None, key.into_key(), change)
    }
}

/// There is no such record here, as far as this node is.
#[derive(Debug, thiserror::Error)]
#[error("there is no such record here")]
struct NotHere;

pub(super) fn update<S: Schema, R: Member<S> + Agreed>(
    origin: Origin,
    request: Option<RequestId>,
    key: R::Key,
    change: impl Fn(&mut R) + Send + Sync + 'static,
) -> Answer<Option<Receipt>> {
    Answer::pending(async move {
        let (key, change) = (&key, &change);
        let run = move |confirmed: bool, tx: Tx<S>| async move {
            let Some(mut record) = tx.get_record::<R>(key.clone()).await? else {
                return if confirmed { Ok(false) } else { Err(Error::abort(NotHere)) };
            };
            change(&mut record);
            if record.key() != *key {
                return Err(Error::Configuration {
                    option: "update_record",
                    reason: format!(
                        "the closure changed the key of the `{}`: remove it and insert another one, in a transaction",
                        R::NAME
                    ),
                });
            }
            tx.put_record(record)?;
            Ok(true)
        };
        let mut done = transact(&origin, request, |tx| run(false, tx)).await;
        if done.as_ref().is_err_and(|error| error.aborted::<NotHere>().is_some()) {
            // It may have been written a moment ago, and not have come here yet.
            origin.confirm_reads().await?;
            done = transact(&origin, request, |tx| run(true, tx)).await;
        }
        let (receipt, found) = done?;
        Ok(found.then_some(receipt))
    })
}

pub(super) async fn transact<S, T, F, Fut>(
    origin: &Origin,
    request: Option<RequestId>,
    closure: F,
) -> Result<(Receipt, T)>
where
    S: Schema,
    F: Fn(Tx<S>) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
    T: Send,
{
    let mut pause = PAUSE;
    let foresight: Arc<Mutex<Foresight>> = Arc::default();
    let mut conflicts = 0;
    while conflicts < RUNS_MAX {
        let run = Run::begin(origin, &foresight).await?;
        let result = drive(&run, closure(Tx::of(Arc::clone(&run)))).await;
        let Ended { mut transaction, again } = match run.end(result.is_ok(), request.is_some()).await {
            Ok(ended) => ended,
            Err(error) => return Err(result.err().unwrap_or(error)),
        };
        if !again {
            let value = result?;
            transaction.request = request;
            // A named call is sent even if it writes nothing now: what counts is what it did the first time.
            if transaction.writes.is_empty() && request.is_none() {
                return Ok((Receipt::nothing(), value));
            }
            tx::check_size(origin, transaction.bytes())?;
            match origin.submitter().submit(Action::Transact(Arc::new(transaction))).await {
                Ok(applied) => return Ok((Receipt::of(applied), value)),
                Err(Error::Conflict) => {}
                // Its writes were in order when it ran: the next run is told of this where it writes. A named call
                // has had its outcome.
                Err(Error::UniqueViolation { .. } | Error::AlreadyExists { .. }) if request.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        if lock(&foresight).take_awaits_sweep() {
            // No conflict, and bounded: some time later the closure is told of the refusal.
            tokio::time::sleep(SWEEP_PAUSE).await;
            continue;
        }
        conflicts += 1;
        tokio::time::sleep(pause.mul_f64(crate::entropy::fraction())).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Err(Error::Conflict)
}

/// Runs the closure to its end, and lets the view go when it takes long.
async fn drive<T>(run: &Run, closure: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::pin!(closure);
    tokio::select! {
        biased;
        result = &mut closure => return result,
        () = tokio::time::sleep(VIEW_HELD) => run.release(),
    }
    closure.await
}
