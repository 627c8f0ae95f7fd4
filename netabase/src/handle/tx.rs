//! `Tx`: what a transaction's closure reads and writes with.
//!
//! ```text
//! view ◀── reads ── closure ── writes ──▶ own rows over the view     both noted ──▶ Transaction ──▶ log
//! ```
//! Must hold: whatever the closure could learn is noted as read, a refusal too; it sees its own writes and, beside them,
//! one moment; nothing is sent before it has returned. The view is let go after [`VIEW_HELD`], since the store's file
//! keeps all that a view shows.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::Answer;
use super::origin::{Origin, at};
use super::write::encode;
use crate::client::{self, Ended, Foresight};
use crate::command::{Transaction, Write, entry_bytes_max};
use crate::error::{Error, Result};
use crate::machine::{Refused, Trial};
use crate::node::Node;
use crate::schema::{Agreed, IntoKey, Key, Member, Query, RecordId, Schema};

/// How long the reads of one run share a view.
pub(super) const VIEW_HELD: Duration = Duration::from_secs(5);

/// A transaction under way: what its closure reads, and writes when it commits.
///
/// Its reads see one moment, and its own writes over it. Cheap to clone. After the closure has returned, it gives errors.
pub struct Tx<S: Schema> {
    run: Arc<Run>,
    schema: PhantomData<fn() -> S>,
}

/// One run of the closure.
pub(super) struct Run {
    origin: Origin,
    rows: Rows,
    /// What its writes take so far.
    write_bytes: AtomicUsize,
}

/// Where its rows are.
enum Rows {
    Here(Arc<Node>, Box<Mutex<State>>),
    There(Arc<client::Run>),
}

struct State {
    /// `None` once the view has been held long enough, or the closure has returned.
    trial: Option<Trial>,
    /// The closure has returned.
    over: bool,
    /// The closure asked for more when the view was gone, or what stands in the way of a write is gone soon: it has to run
    /// again.
    again: bool,
    foresight: Arc<Mutex<Foresight>>,
    writes: Vec<Write>,
}

impl Run {
    pub(super) async fn begin(origin: &Origin, foresight: &Arc<Mutex<Foresight>>) -> Result<Arc<Run>> {
        let rows = match origin {
            Origin::Here(node) => {
                let trial = Some(Trial::new(node.view()?));
                let foresight = Arc::clone(foresight);
                let state = State { trial, over: false, again: false, foresight, writes: Vec::new() };
                Rows::Here(Arc::clone(node), Box::new(Mutex::new(state)))
            }
            Origin::There(client) => {
                Rows::There(Arc::new(client::Run::begin(at(client), Arc::clone(foresight)).await?))
            }
        };
        Ok(Arc::new(Run { origin: origin.clone(), rows, write_bytes: AtomicUsize::new(0) }))
    }

    /// Lets the view go: what is asked for from now on makes the closure run again.
    pub(super) fn release(&self) {
        match &self.rows {
            Rows::Here(_, state) => lock(state).trial = None,
            Rows::There(run) => run.release(),
        }
    }

    /// The closure has returned.
    pub(super) async fn end(&self, returned_ok: bool, named: bool) -> Result<Ended> {
        let state = match &self.rows {
            Rows::Here(_, state) => state,
            Rows::There(run) => return run.end(returned_ok, named).await,
        };
        let mut state = lock(state);
        state.over = true;
        let reads = state.trial.take().map(Trial::into_notes).unwrap_or_default();
        let writes = std::mem::take(&mut state.writes);
        Ok(Ended { transaction: Transaction { request: None, reads, writes }, again: state.again })
    }

    /// Writes, for the closure to see; refused as it would be if it were applied now.
    fn write(&self, write: Write) -> Result<()> {
        let bytes = write.payload_bytes();
        check_size(&self.origin, self.write_bytes.load(Ordering::Relaxed) + bytes)?;
        match &self.rows {
            Rows::There(run) => run.write(write)?,
            Rows::Here(node, state) => {
                let mut state = lock(state);
                let written = state.running()?.write(&node.rule, &node.catalog, &write)?;
                if let Err(Refused { refusal, unswept }) = written {
                    let waits = unswept && lock(&state.foresight).awaits_sweep();
                    return Err(if waits { state.run_again() } else { refusal.into_error(&node.catalog) });
                }
                state.writes.push(write);
            }
        }
        self.write_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most that a transaction may take in an entry, of which the head takes a little.
pub(super) fn check_size(origin: &Origin, bytes: usize) -> Result<()> {
    let bytes_max = entry_bytes_max(origin.record_bytes_max());
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Error::TransactionTooLarge {
        reason: format!(
            "it takes {bytes} bytes, more than the {bytes_max} of one entry of the log: write less at once, in several transactions"
        ),
    })
}

impl State {
    /// The rows to read and write, while the closure runs and the view is held.
    fn running(&mut self) -> Result<&mut Trial> {
        if self.over {
            return Err(Error::Configuration {
                option: "transaction",
                reason: "its `tx` was used after the closure had returned: await everything inside the closure".into(),
            });
        }
        self.again |= self.trial.is_none();
        // Never seen by the caller: the closure runs again, whatever it makes of this.
        self.trial.as_mut().ok_or(Error::Conflict)
    }

    fn run_again(&mut self) -> Error {
        (self.trial, self.again) = (None, true);
        Error::Conflict
    }
}

impl<S: Schema> Tx<S> {
    pub(super) fn of(run: Arc<Run>) -> Self {
        Tx { run, schema: PhantomData }
    }

    /// The record under this key.
    ///
    /// # Errors
    /// As [`Netabase::get_record`](crate::Netabase::get_record).
    pub fn get_record<R: Member<S> + Agreed>(&self, key: impl IntoKey<R::Key>) -> Answer<Option<R>> {
        let (record, key) = (RecordId::of_member::<S, R>(), key.into_key().to_bytes());
        let decode = |value: Option<Bytes>| value.map(|value| R::__decode(&value)).transpose();
        match &self.run.rows {
            Rows::Here(_, state) => {
                let read = lock(state).running().and_then(|trial| trial.get(record, &R::__GLUE, &key));
                Answer::ready(read.and_then(decode))
            }
            Rows::There(run) => {
                let run = Arc::clone(run);
                Answer::pending(async move { run.get(record, key).await.and_then(decode) })
            }
        }
    }

    /// The records that a query selects, in its order.
    ///
    /// # Errors
    /// [`Error::TransactionTooLarge`] when the queries of the transaction read more than 10,000 rows, and as
    /// [`Netabase::query`](crate::Netabase::query).
    pub fn query<R: Member<S> + Agreed>(&self, query: Query<R>) -> Answer<Vec<R>> {
        let plan = query.plan::<S>();
        let decode = |values: Vec<Bytes>| values.iter().map(|value| R::__decode(value)).collect();
        match &self.run.rows {
            Rows::Here(_, state) => {
                let read = lock(state).running().and_then(|trial| trial.query(&plan, &R::__GLUE));
                Answer::ready(read.and_then(decode))
            }
            Rows::There(run) => {
                let run = Arc::clone(run);
                Answer::pending(async move { run.query(plan).await.and_then(decode) })
            }
        }
    }

    /// Stores a record, in place of the one under its key, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::UniqueViolation`], [`Error::RecordTooLarge`], [`Error::TransactionTooLarge`], [`Error::Codec`]: the
    /// transaction is as it was before the call.
    pub fn put_record<R: Member<S> + Agreed>(&self, record: R) -> Result<()> {
        let value = encode::<S, R>(&self.run.origin, &record)?;
        self.write(Write::Put { record: RecordId::of_member::<S, R>(), value })
    }

    /// Stores a record where there is none under its key yet, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], and as [`Tx::put_record`].
    pub fn insert_record<R: Member<S> + Agreed>(&self, record: R) -> Result<()> {
        let value = encode::<S, R>(&self.run.origin, &record)?;
        self.write(Write::Insert { record: RecordId::of_member::<S, R>(), value })
    }

    /// Removes the record under this key, if there is one, when the transaction commits.
    ///
    /// # Errors
    /// As [`Tx::put_record`].
    pub fn remove_record<R: Member<S> + Agreed>(&self, key: impl IntoKey<R::Key>) -> Result<()> {
        let key = Bytes::from(key.into_key().to_bytes());
        super::write::check_size(&self.run.origin, R::NAME, key.len())?;
        self.write(Write::Remove { record: RecordId::of_member::<S, R>(), key })
    }

    pub(super) fn write(&self, write: Write) -> Result<()> {
        self.run.write(write)
    }
}

impl<S: Schema> Clone for Tx<S> {
    fn clone(&self) -> Self {
        Tx { run: Arc::clone(&self.run), schema: PhantomData }
    }
}

impl<S: Schema> fmt::Debug for Tx<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("write_bytes", &self.run.write_bytes).finish_non_exhaustive()
    }
}
