//! The engine that keeps its rows in memory: for `StoreKind::Memory`, and the oracle of the others' tests.
//!
//! A persistent map, so that a snapshot is a clone of its root.

use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use imbl::OrdMap;

use super::engine::{Engine, Rows, Snapshot, StoreError, is_empty_range};

/// Rows in memory; gone with the last handle to it.
#[derive(Default)]
pub(crate) struct MemoryEngine {
    rows: RwLock<OrdMap<Bytes, Bytes>>,
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine").finish_non_exhaustive()
    }
}

impl Engine for MemoryEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        // The map behind the lock is replaced whole, so a writer that panicked left it as it was.
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Arc::new(MemorySnapshot { rows }))
    }

    fn write(&self, rows: &mut dyn Iterator<Item = (Bytes, Option<Bytes>)>, _sync: bool) -> Result<(), StoreError> {
        let mut current = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = current.clone();
        for (key, value) in rows {
            match value {
                Some(value) => next.insert(key, value),
                None => next.remove(&key[..]),
            };
        }
        *current = next;
        Ok(())
    }
}

struct MemorySnapshot {
    rows: OrdMap<Bytes, Bytes>,
}

impl Snapshot for MemorySnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Rows<'a>, StoreError> {
        if is_empty_range(lower, upper) {
            return Ok(Box::new(std::iter::empty()));
        }
        let rows = self.rows.range::<_, [u8]>((lower, upper)).map(|(key, value)| Ok((key.clone(), value.clone())));
        Ok(if reverse { Box::new(rows.rev()) } else { Box::new(rows) })
    }
}
