//! One flush: whole rounds on their way into the engine, on a thread of their own.
//!
//! Rows, what the machine adds (sessions), the round they reflect and what they come to go in one synced transaction, so a
//! restart finds all of a round or nothing of it. Until `end_flush`, readers find the same rows in the
//! view's `flushing` overlay.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::engine::{Engine, Snapshot};
use super::layout;
use super::store::applied_row;
use super::sum::Sum;
use super::view::Overlay;
use crate::Error;

/// Rounds to be made durable. After an error the engine must be opened anew: it may take no more writes.
pub(crate) struct Flush {
    engine: Arc<dyn Engine>,
    rows: Overlay,
    round: u64,
    sum: Sum,
}

impl Flush {
    pub(super) fn new(engine: Arc<dyn Engine>, rows: Overlay, round: u64, sum: Sum) -> Self {
        Flush { engine, rows, round, sum }
    }

    /// The round that will be durable.
    #[cfg(test)]
    pub(crate) fn round(&self) -> u64 {
        self.round
    }

    /// Writes it, synced. `extra` rows are of the spaces between the indexes and the changes, in key order: the
    /// engine is fastest on one sorted run.
    pub(crate) fn run(&self, extra: impl IntoIterator<Item = (Bytes, Option<Bytes>)>) -> Result<FlushDone, Error> {
        let between = [layout::SPACE_SESSION];
        let owned = |(key, value): (&Bytes, &Option<Bytes>)| (key.clone(), value.clone());
        let below = self.rows.range::<_, [u8]>((Bound::Unbounded, Bound::Excluded(&between[..]))).map(owned);
        let above = self.rows.range::<_, [u8]>((Bound::Included(&between[..]), Bound::Unbounded)).map(owned);
        let mut rows = below.chain(extra).chain(above).chain([applied_row(self.round), self.sum.row()]);
        self.engine.write(&mut rows, true)?;
        Ok(FlushDone { base: self.engine.snapshot()?, round: self.round })
    }
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flush").field("round", &self.round).field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// A flush that is durable, for `end_flush`.
pub(crate) struct FlushDone {
    base: Arc<dyn Snapshot>,
    round: u64,
}

impl FlushDone {
    pub(super) fn into_parts(self) -> (Arc<dyn Snapshot>, u64) {
        (self.base, self.round)
    }
}

impl fmt::Debug for FlushDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlushDone").field("round", &self.round).finish_non_exhaustive()
    }
}

/// Rows that no new view needs. Freeing them takes milliseconds: not on the thread that applies.
#[derive(Debug)]
#[must_use = "drop it on a thread that nobody waits for"]
pub(crate) struct Retired {
    _rows: Overlay,
    /// The last one of a file that is no longer in use closes it.
    _base: Base,
}

struct Base(#[expect(dead_code, reason = "only dropped")] Arc<dyn Snapshot>);

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").finish_non_exhaustive()
    }
}

impl Retired {
    pub(super) fn new(rows: Overlay, base: Arc<dyn Snapshot>) -> Self {
        Retired { _rows: rows, _base: Base(base) }
    }
}
