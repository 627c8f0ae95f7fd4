//! What readers see: two overlays over a snapshot of the engine, as one immutable ordered map.
//!
//! A row is looked for in `active`, then `flushing`, then `base`; in an overlay, `None` is a removed row
//! that hides the ones below. A view never changes once published: point in time, shared, no locks.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use imbl::OrdMap;

use super::engine::Snapshot;
use super::layout;
use super::scan::Scan;
use crate::Error;

/// Rows not yet in the engine; `None`: removed.
pub(super) type Overlay = OrdMap<Bytes, Option<Bytes>>;

/// What reads rows: a view, or a round half applied.
pub(crate) trait Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// The rows between the bounds in key order, or in reverse.
    fn scan<'a>(
        &'a self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Scan<'a>, Error>;

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
}

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

    fn scan<'a>(
        &'a self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Scan<'a>, Error> {
        Scan::over(self, lower, upper, reverse)
    }
}

/// All rows as of one applied round. Cheap to clone; keeps its snapshot of the engine alive, so long-lived
/// holders make the engine's file grow.
#[derive(Clone)]
pub(crate) struct View {
    published: Arc<Published>,
}

struct Published {
    layers: Layers,
    applied: u64,
}

impl View {
    pub(super) fn new(layers: Layers, applied: u64) -> Self {
        View {
            published: Arc::new(Published { layers, applied }),
        }
    }

    /// The last round whose writes are in this view.
    pub(crate) fn applied(&self) -> u64 {
        self.published.applied
    }
}

impl Rows for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.published.layers.get(key)
    }

    fn scan<'a>(
        &'a self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Scan<'a>, Error> {
        self.published.layers.scan(lower, upper, reverse)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("applied", &self.applied())
            .finish_non_exhaustive()
    }
}

/// Where the newest view is to be had, from any thread.
#[derive(Clone)]
pub(crate) struct Views {
    newest: Arc<ArcSwap<Published>>,
}

impl Views {
    pub(super) fn new(view: View) -> Self {
        Views {
            newest: Arc::new(ArcSwap::new(view.published)),
        }
    }

    pub(super) fn publish(&self, view: View) {
        self.newest.store(view.published);
    }

    /// The newest view: everything up to the last applied round.
    pub(crate) fn view(&self) -> View {
        View {
            published: self.newest.load_full(),
        }
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Views").field(&self.view()).finish()
    }
}
