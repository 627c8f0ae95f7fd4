//! What readers see: two overlays over a snapshot of the engine, as one immutable ordered map.
//!
//! A row is looked for in `active`, then `flushing`, then `base`; in an overlay, `None` is a removed row
//! that hides the ones below. A view never changes once taken: point in time, shared, no locks.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use imbl::OrdMap;

use super::engine::{Engine, Snapshot};
use super::layout;
use super::scan::Scan;
use super::sum::Sum;
use crate::Error;
use crate::clock;

/// Rows not yet in the engine; `None`: removed.
pub(super) type Overlay = OrdMap<Bytes, Option<Bytes>>;

/// The rows of a round that is being applied. Changed in place, then moved into an overlay.
pub(super) type Pending = BTreeMap<Bytes, Option<Bytes>>;

/// What reads rows: a view, or a round half applied.
pub(crate) trait Rows {
    /// Records that have expired by then are not to be read; `None`: every row is, as for what is agreed on.
    fn read_at_ms(&self) -> Option<u64> {
        None
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// The rows between the bounds in key order, or in reverse.
    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Scan<'a>, Error>;

    /// The rows whose keys begin with `prefix`, in key order.
    fn scan_prefix<'a>(&'a self, prefix: &[u8]) -> Result<Scan<'a>, Error> {
        let (lower, upper) = layout::prefix_range(prefix);
        self.scan(lower, upper.as_ref().map(|upper| &upper[..]), false)
    }
}

/// The three layers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Layers {
    pub(super) active: Overlay,
    pub(super) flushing: Option<Overlay>,
    pub(super) base: Arc<dyn Snapshot>,
    pub(super) lease: Lease,
}

/// Keeps the engine below a view open after another store took its place: with the engine its snapshots would end. Empty
/// before that, so that a store that is closed closes its files, whoever still holds a view. After the snapshot in a
/// struct: it goes last.
pub(super) type Lease = Arc<OnceLock<Arc<dyn Engine>>>;

impl Rows for Layers {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        if let Some(row) = self.active.get(key) {
            return Ok(row.clone());
        }
        if let Some(row) = self.flushing.as_ref().and_then(|rows| rows.get(key)) {
            return Ok(row.clone());
        }
        Ok(self.base.get(key)?)
    }

    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Scan<'a>, Error> {
        Scan::over(None, self, lower, upper, reverse)
    }
}

/// All rows as of one applied round. Cheap to clone. While it is held, the writer copies what it changes, and
/// the engine's file keeps what the snapshot shows: long-lived holders take a newer one now and then.
#[derive(Clone)]
pub(crate) struct View {
    pub(super) layers: Layers,
    pub(super) applied: u64,
    pub(super) sum: Sum,
    /// When a reader took it.
    pub(super) taken_at_ms: Option<u64>,
}

impl View {
    /// The last round whose writes are in this view.
    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    /// What its rows come to, as it was kept up with the writes.
    pub(crate) fn sum(&self) -> Sum {
        self.sum
    }
}

impl Rows for View {
    fn read_at_ms(&self) -> Option<u64> {
        self.taken_at_ms
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.layers.get(key)
    }

    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Scan<'a>, Error> {
        self.layers.scan(lower, upper, reverse)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// Where the newest view is to be had, from any thread.
///
/// The newest view is behind a lock, which is held to clone it, and to lay one round over it. It is the only
/// handle to its overlay while nobody reads, so that rounds are laid over it in place: with a second handle
/// (as of a published copy) every round would copy the tree nodes that it touches, at 20 us a put.
#[derive(Clone)]
pub(crate) struct Views {
    newest: Arc<RwLock<View>>,
}

impl Views {
    pub(super) fn new(view: View) -> Self {
        Views { newest: Arc::new(RwLock::new(view)) }
    }

    /// The newest view: everything up to the last applied round, of which readers see what has not expired by now.
    pub(crate) fn view(&self) -> View {
        View { taken_at_ms: Some(clock::now_ms()), ..self.read().clone() }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, View> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the store, the one writer. Poison means that it panicked here, and with it goes its task.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.newest.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Views").field(&*self.read()).finish()
    }
}
