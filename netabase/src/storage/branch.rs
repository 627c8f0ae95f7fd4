//! A view with rows laid over it that nobody else sees: what a transaction has written so far.

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use super::scan::Scan;
use super::store::WriteSet;
use super::view::{Pending, Rows, View};
use crate::Error;

/// A view and own rows over it.
pub(crate) struct Branch {
    below: View,
    pending: Pending,
}

impl Branch {
    pub(crate) fn new(below: View) -> Self {
        Branch { below, pending: Pending::new() }
    }

    /// What is below the own rows.
    pub(crate) fn below(&self) -> &View {
        &self.below
    }

    /// Lays rows over it.
    pub(crate) fn write(&mut self, rows: WriteSet) {
        self.pending.extend(rows.rows);
    }
}

impl Rows for Branch {
    fn read_at_ms(&self) -> Option<u64> {
        self.below.read_at_ms()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.pending.get(key) {
            Some(row) => Ok(row.clone()),
            None => self.below.get(key),
        }
    }

    fn scan<'a>(&'a self, lower: Bound<&[u8]>, upper: Bound<&[u8]>, reverse: bool) -> Result<Scan<'a>, Error> {
        Scan::over(Some(&self.pending), &self.below.layers, lower, upper, reverse)
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch").field("below", &self.below).field("pending", &self.pending.len()).finish()
    }
}
