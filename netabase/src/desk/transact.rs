//! Transactions of clients while they run: their reads and writes happen here, what they read goes back when they end.

use std::time::Instant;

use bytes::Bytes;
use libp2p::PeerId;

use super::PAGE_BYTES;
use super::lease::Lease;
use super::message::{Held, Page, Stepped, Trouble};
use super::read::{glue, record_glue};
use super::serve::Counter;
use crate::command::{Refusal, Transaction, entry_bytes_max};
use crate::consensus::Round;
use crate::machine::Trial;
use crate::schema::{Plan, RecordId};
use crate::storage::PAGE_ROWS;

/// One run of a closure elsewhere.
#[derive(Debug)]
pub(super) struct Run {
    trial: Trial,
    /// What refused each of its writes so far.
    refusals: Vec<Option<Refusal>>,
    /// One of them was on account of a record that no read shows.
    unswept: bool,
    /// What its reads and writes take in an entry, about.
    bytes: usize,
}

impl Run {
    pub(super) fn new(trial: Trial) -> Self {
        Run { trial, refusals: Vec::new(), unswept: false, bytes: 0 }
    }

    /// What no entry could hold is not worth keeping.
    fn grow(&mut self, bytes: usize, bytes_max: usize) -> Result<(), Trouble> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= bytes_max {
            return Ok(());
        }
        Err(Trouble::TransactionTooLarge {
            reason: format!(
                "what it reads and writes takes more than the {bytes_max} bytes of one entry of the log: do less at once, in several transactions"
            ),
        })
    }
}

/// What a read takes in an entry beside its key.
const READ_BYTES: usize = 24;

/// The writes of a step, and where they belong.
pub(super) struct Writes {
    pub(super) seen: Round,
    pub(super) lease: Held,
    pub(super) first: u32,
    pub(super) bytes: Bytes,
}

impl Counter {
    /// Lays the writes into the transaction, then takes the step.
    async fn step<T>(
        &self,
        client: PeerId,
        writes: Writes,
        step: impl FnOnce(&Counter, &mut Run) -> Result<T, Trouble>,
    ) -> Result<Stepped<T>, Trouble> {
        let Writes { seen, lease, first, bytes } = writes;
        let transaction = Transaction::decode(bytes).map_err(|error| Trouble::malformed(error.to_string()))?;
        let newest = if lease.new { Some(self.view_since(seen).await?) } else { None };
        let mut leases = self.leases.borrow_mut();
        let make = || Lease::Run(Box::new(Run::new(Trial::new(newest.unwrap_or_else(|| self.views.view())))));
        let Lease::Run(run) = leases.find(Instant::now(), client, lease, make)? else {
            return Err(Trouble::malformed("the lease is of a moment"));
        };
        let first = first as usize;
        // A copy of the step before may have come without its answer having arrived.
        let Some(known) = run.refusals.len().checked_sub(first) else {
            return Err(Trouble::malformed("writes of a transaction are missing"));
        };
        for write in transaction.writes.iter().skip(known) {
            run.grow(write.payload_bytes(), entry_bytes_max(self.record_bytes_max))?;
            let written = run.trial.write(&self.rule, &self.catalog, write)?;
            run.unswept |= written.as_ref().is_err_and(|refused| refused.unswept);
            run.refusals.push(written.err().map(|refused| refused.refusal));
        }
        let refusals = run.refusals.get(first..).unwrap_or_default().to_vec();
        let unswept = run.unswept;
        Ok(Stepped { refusals, unswept, result: step(self, run)? })
    }

    pub(super) async fn transact_get(
        &self,
        client: PeerId,
        writes: Writes,
        record: RecordId,
        key: Bytes,
    ) -> Result<Stepped<Option<Bytes>>, Trouble> {
        let glue = record_glue(&self.catalog, record)?;
        self.step(client, writes, |counter, run| {
            run.grow(READ_BYTES + key.len(), entry_bytes_max(counter.record_bytes_max))?;
            Ok(run.trial.get(record, glue, &key)?)
        })
        .await
    }

    pub(super) async fn transact_page(
        &self,
        client: PeerId,
        writes: Writes,
        plan: Plan,
    ) -> Result<Stepped<Page>, Trouble> {
        self.step(client, writes, |counter, run| {
            let glue = glue(&counter.catalog, run.trial.rows(), &plan)?;
            let (mut rows, mut bytes) = (0, 0);
            // Each page notes what lies between its rows, and behind the row before; the last one what lies behind it, too.
            let (values, next) = run.trial.page(&plan, glue, |row| {
                (rows, bytes) = (rows + 1, bytes + row.value.len());
                rows < PAGE_ROWS && bytes < PAGE_BYTES
            })?;
            let range_bytes = READ_BYTES + next.as_ref().map_or(0, after_bytes);
            run.grow(range_bytes, entry_bytes_max(counter.record_bytes_max))?;
            Ok(Page { applied: 0, values, next })
        })
        .await
    }

    pub(super) async fn conclude(&self, client: PeerId, writes: Writes) -> Result<Stepped<Bytes>, Trouble> {
        let id = writes.lease.id;
        let Stepped { refusals, unswept, result: () } = self.step(client, writes, |_, _| Ok(())).await?;
        match self.leases.borrow_mut().take(client, id) {
            Some(Lease::Run(run)) => {
                let notes = Transaction { reads: run.trial.into_notes(), ..Transaction::default() };
                Ok(Stepped { refusals, unswept, result: notes.to_bytes() })
            }
            _ => Err(Trouble::NoLease),
        }
    }
}

fn after_bytes(after: &crate::schema::After) -> usize {
    match after {
        crate::schema::After::Key(key) => key.len(),
        crate::schema::After::Row { index_key, key } => index_key.len() + key.len(),
    }
}
