//! What snapshots need and sled has not: the rows as they were before each later write.
//!
//! ```text
//! snapshot ─> [ moment ] ─before write 1─> [ moment ] ─before write 2─> [ moment ] <─ engine: now
//! ```
//! A moment lies between two writes. Once the write after it begins, it holds the rows as they were before, and the
//! next moment. A snapshot holds its own, and through it all later ones; the engine holds the newest. So undo rows
//! live exactly as long as a snapshot older than their write, or the write itself: no list of them, and no counting.
//! Memory is bounded by what is flushed while an old view is held, and views are held briefly.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::storage::engine::is_empty_range;

/// Rows as they were: `None` was not there.
pub(super) type Before = BTreeMap<Bytes, Option<Bytes>>;

/// The state between two writes.
#[derive(Default)]
pub(super) struct Moment {
    write: OnceLock<Write>,
}

/// The write that ended a moment.
struct Write {
    before: Before,
    next: Arc<Moment>,
}

impl Moment {
    /// Ends it, before a row of the write is in the tree. Gives the moment after the write.
    pub(super) fn end(&self, before: Before) -> Arc<Moment> {
        let next = Arc::new(Moment::default());
        let first = self.write.set(Write { before, next: Arc::clone(&next) }).is_ok();
        assert!(first, "one writer, which does not go on after a failure");
        next
    }

    fn writes_since(&self) -> impl Iterator<Item = &Write> {
        std::iter::successors(self.write.get(), |write| write.next.write.get())
    }

    /// The row as of this moment, if it was written since. The first write found it as it was then.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.writes_since().find_map(|write| write.before.get(key))
    }

    /// The first row within the bounds (in reverse the last) that was written since, as of this moment.
    pub(super) fn first(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Option<(&Bytes, &Option<Bytes>)> {
        if is_empty_range(lower, upper) {
            return None;
        }
        let firsts = self.writes_since().filter_map(|write| {
            let mut rows = write.before.range::<[u8], _>((lower, upper));
            if reverse { rows.next_back() } else { rows.next() }
        });
        // Of equal keys that of the oldest write.
        firsts.reduce(|first, row| if comes_before(row.0, first.0, reverse) { row } else { first })
    }
}

/// Whether a scan in this direction comes to `key` before it comes to `other`.
pub(super) fn comes_before(key: &[u8], other: &[u8], reverse: bool) -> bool {
    if reverse { key > other } else { key < other }
}

impl Drop for Moment {
    /// One after the other: thousands of them must not be as many calls within each other.
    fn drop(&mut self) {
        let mut next = self.write.take().map(|write| write.next);
        while let Some(mut moment) = next.and_then(Arc::into_inner) {
            next = moment.write.take().map(|write| write.next);
        }
    }
}
