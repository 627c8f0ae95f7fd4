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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::Answer;
use super::write::encode;
use crate::command::{Transaction, Write, entry_bytes_max};
use crate::error::{Error, Result};
use crate::machine::Footprint;
use crate::node::Node;
use crate::schema::{Agreed, IntoKey, Key, Member, Query, RecordId, Schema};
use crate::storage::Branch;

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
    node: Arc<Node>,
    state: Mutex<State>,
}

struct State {
    /// `None` once the view has been held long enough, or the closure has returned.
    branch: Option<Branch>,
    /// The closure has returned.
    over: bool,
    /// The closure asked for more when the view was gone: it has to run again.
    expired: bool,
    footprint: Footprint,
    writes: Vec<Write>,
    write_bytes: usize,
}

/// What a run leaves behind.
pub(super) struct Ended {
    pub(super) transaction: Transaction,
    /// It has to run again, whatever the closure returned.
    pub(super) expired: bool,
}

impl Run {
    pub(super) fn begin(node: &Arc<Node>) -> Result<Arc<Run>> {
        let state = State {
            branch: Some(Branch::new(node.view()?)),
            over: false,
            expired: false,
            footprint: Footprint::default(),
            writes: Vec::new(),
            write_bytes: 0,
        };
        Ok(Arc::new(Run { node: Arc::clone(node), state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the view go: what is asked for from now on makes the closure run again.
    pub(super) fn release(&self) {
        self.state().branch = None;
    }

    /// The closure has returned.
    pub(super) fn end(&self) -> Ended {
        let mut state = self.state();
        state.over = true;
        state.branch = None;
        let reads = std::mem::take(&mut state.footprint).into_reads();
        let writes = std::mem::take(&mut state.writes);
        Ended { transaction: Transaction { request: None, reads, writes }, expired: state.expired }
    }
}

/// The most that a transaction may take in an entry, of which the head takes a little.
pub(super) fn check_size(node: &Node, bytes: usize) -> Result<()> {
    let bytes_max = entry_bytes_max(node.record_bytes_max);
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
    fn running(&mut self) -> Result<(&mut Branch, &mut Footprint)> {
        if self.over {
            return Err(Error::Configuration {
                option: "transaction",
                reason: "its `tx` was used after the closure had returned: await everything inside the closure".into(),
            });
        }
        self.expired |= self.branch.is_none();
        // Never seen by the caller: the closure runs again, whatever it makes of this.
        let branch = self.branch.as_mut().ok_or(Error::Conflict)?;
        Ok((branch, &mut self.footprint))
    }

    /// Writes, for the closure to see; refused as it would be if it were applied now.
    fn write(&mut self, node: &Node, write: Write) -> Result<()> {
        let write_bytes = self.write_bytes + write.payload_bytes();
        check_size(node, write_bytes)?;
        let (branch, footprint) = self.running()?;
        // The round shows nowhere: what was written here is not noted as read.
        let round = branch.below().applied() + 1;
        let (rows, outcome) = node.rule.apply(branch, &write, round)?;
        if let Err(refusal) = outcome {
            if let Some(glue) = node.catalog.record(write.record()) {
                footprint.refused(branch, &write, &refusal, glue)?;
            }
            return Err(refusal.into_error(&node.catalog));
        }
        branch.write(rows);
        self.write_bytes = write_bytes;
        self.writes.push(write);
        Ok(())
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
        let key = key.into_key().to_bytes();
        let read = || {
            let mut state = self.run.state();
            let (branch, footprint) = state.running()?;
            footprint.get(branch, RecordId::of_member::<S, R>(), &key)
        };
        Answer::ready(read().and_then(|value| value.map(|value| R::__decode(&value)).transpose()))
    }

    /// The records that a query selects, in its order.
    ///
    /// # Errors
    /// [`Error::TransactionTooLarge`] when the queries of the transaction read more than 10,000 rows, and as
    /// [`Netabase::query`](crate::Netabase::query).
    pub fn query<R: Member<S> + Agreed>(&self, query: Query<R>) -> Answer<Vec<R>> {
        let read = || {
            let mut state = self.run.state();
            let (branch, footprint) = state.running()?;
            footprint.query(branch, &query.plan::<S>(), &R::__GLUE)
        };
        Answer::ready(read().and_then(|values| values.iter().map(|value| R::__decode(value)).collect()))
    }

    /// Stores a record, in place of the one under its key, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::UniqueViolation`], [`Error::RecordTooLarge`], [`Error::TransactionTooLarge`], [`Error::Codec`]: the
    /// transaction is as it was before the call.
    pub fn put_record<R: Member<S> + Agreed>(&self, record: R) -> Result<()> {
        let value = encode::<S, R>(&self.run.node, &record)?;
        self.write(Write::Put { record: RecordId::of_member::<S, R>(), value })
    }

    /// Stores a record where there is none under its key yet, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], and as [`Tx::put_record`].
    pub fn insert_record<R: Member<S> + Agreed>(&self, record: R) -> Result<()> {
        let value = encode::<S, R>(&self.run.node, &record)?;
        self.write(Write::Insert { record: RecordId::of_member::<S, R>(), value })
    }

    /// Removes the record under this key, if there is one, when the transaction commits.
    ///
    /// # Errors
    /// As [`Tx::put_record`].
    pub fn remove_record<R: Member<S> + Agreed>(&self, key: impl IntoKey<R::Key>) -> Result<()> {
        let key = Bytes::from(key.into_key().to_bytes());
        super::write::check_size(&self.run.node, R::NAME, key.len())?;
        self.write(Write::Remove { record: RecordId::of_member::<S, R>(), key })
    }

    fn write(&self, write: Write) -> Result<()> {
        self.run.state().write(&self.run.node, write)
    }
}

impl<S: Schema> Clone for Tx<S> {
    fn clone(&self) -> Self {
        Tx { run: Arc::clone(&self.run), schema: PhantomData }
    }
}

impl<S: Schema> fmt::Debug for Tx<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("writes", &self.run.state().writes.len()).finish_non_exhaustive()
    }
}
