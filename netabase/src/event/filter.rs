//! What one watcher wants to hear of: the records of a query's plan, by key or by a key of an index.
//!
//! A change matches an index if the record was selected before it or is after it: who watches a city hears of those who
//! leave it.

use std::ops::{Bound, RangeBounds};

use crate::schema::{IndexId, Plan, RecordGlue, RecordId};
use crate::storage::Change;

/// A range of keys, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) lower: Bound<Vec<u8>>,
    pub(super) upper: Bound<Vec<u8>>,
}

impl Span {
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        let bounds = (self.lower.as_ref().map(Vec::as_slice), self.upper.as_ref().map(Vec::as_slice));
        RangeBounds::<[u8]>::contains(&bounds, key)
    }

    /// The one key of which it consists, if it is one.
    pub(super) fn exact(&self) -> Option<&[u8]> {
        match (&self.lower, &self.upper) {
            (Bound::Included(lower), Bound::Included(upper)) if lower == upper => Some(lower),
            _ => None,
        }
    }
}

/// Which changes a watcher is told of.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(super) record: RecordId,
    pub(super) glue: RecordGlue,
    /// The position of an index among the record's, when the span is one of its keys.
    pub(super) index: Option<usize>,
    pub(super) span: Span,
}

impl Filter {
    /// The selection of a plan; its order, limit and place to go on from say nothing about changes.
    pub(crate) fn new(plan: &Plan, glue: RecordGlue) -> Filter {
        let position = |id| glue.indexes.iter().position(|index| IndexId::named(index.name) == id);
        Filter {
            record: plan.record,
            glue,
            index: plan.index.and_then(position),
            span: Span { lower: plan.lower.clone(), upper: plan.upper.clone() },
        }
    }

    pub(super) fn matches(&self, change: &Change) -> bool {
        if change.record != self.record {
            return false;
        }
        let Some(index) = self.index else { return self.span.contains(&change.key) };
        let before = change.before.as_ref().map(|(_, value)| value);
        before.into_iter().chain(&change.after).any(|value| {
            let mut keys = index_keys(&self.glue, value);
            keys.get_mut(index).and_then(Option::take).is_some_and(|key| self.span.contains(&key))
        })
    }

    /// Where the record of a stored value is among those that are selected: its key in the index, if it has one. Of a
    /// selection by key, nothing.
    pub(super) fn index_key(&self, value: &[u8]) -> Option<Vec<u8>> {
        match self.index {
            None => Some(Vec::new()),
            Some(index) => index_keys(&self.glue, value).into_iter().nth(index).flatten(),
        }
    }
}

/// The keys of a stored value in each index. A value that cannot be read back is in none.
pub(super) fn index_keys(glue: &RecordGlue, value: &[u8]) -> Vec<Option<Vec<u8>>> {
    (glue.rows)(value).map(|rows| rows.index_keys).unwrap_or_default()
}
