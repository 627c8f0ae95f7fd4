//! Who is to be told of a change, without asking everybody: exact keys by hash, ranges by a tree of intervals.
//!
//! The keys of a change in the indexes are computed at most once, and only if somebody watches an index.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::filter::{Filter, Span, index_keys};
use crate::schema::{RecordGlue, RecordId};
use crate::storage::Change;

/// Names a watcher for as long as its hub lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WatcherId(pub(super) u64);

/// The filters of all watchers.
#[derive(Debug, Default)]
pub(super) struct Interests {
    records: HashMap<RecordId, OfRecord>,
}

/// Those in one record type.
#[derive(Debug)]
struct OfRecord {
    glue: RecordGlue,
    keys: Spans,
    /// By the position of the index.
    indexes: BTreeMap<usize, Spans>,
}

impl Interests {
    pub(super) fn add(&mut self, id: WatcherId, filter: &Filter) {
        let new = || OfRecord { glue: filter.glue, keys: Spans::default(), indexes: BTreeMap::new() };
        let of_record = self.records.entry(filter.record).or_insert_with(new);
        match filter.index {
            None => of_record.keys.add(id, &filter.span),
            Some(index) => of_record.indexes.entry(index).or_default().add(id, &filter.span),
        }
    }

    pub(super) fn remove(&mut self, id: WatcherId, filter: &Filter) {
        let Some(of_record) = self.records.get_mut(&filter.record) else { return };
        match filter.index {
            None => of_record.keys.remove(id, &filter.span),
            Some(index) => {
                if let Some(spans) = of_record.indexes.get_mut(&index) {
                    spans.remove(id, &filter.span);
                    if spans.is_empty() {
                        of_record.indexes.remove(&index);
                    }
                }
            }
        }
        if of_record.keys.is_empty() && of_record.indexes.is_empty() {
            self.records.remove(&filter.record);
        }
    }

    /// Puts into `found` who is to be told of the change, each once.
    pub(super) fn find(&mut self, change: &Change, found: &mut Vec<WatcherId>) {
        found.clear();
        let Some(of_record) = self.records.get_mut(&change.record) else { return };
        of_record.keys.find(&change.key, found);
        if of_record.indexes.is_empty() {
            return;
        }
        let before = change.before.as_ref().map(|(_, value)| value);
        for value in before.into_iter().chain(&change.after) {
            let keys = index_keys(&of_record.glue, value);
            for (index, spans) in &mut of_record.indexes {
                if let Some(Some(key)) = keys.get(*index) {
                    spans.find(key, found);
                }
            }
        }
        // Before and after may both match.
        found.sort_unstable();
        found.dedup();
    }
}

/// The spans of several watchers over one order of keys.
#[derive(Debug, Default)]
struct Spans {
    exact: HashMap<Vec<u8>, Vec<WatcherId>>,
    ranges: Ranges,
}

impl Spans {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.ranges.entries.is_empty()
    }

    fn add(&mut self, id: WatcherId, span: &Span) {
        match span.exact() {
            Some(key) => self.exact.entry(key.to_vec()).or_default().push(id),
            None => self.ranges.add(id, span.clone()),
        }
    }

    fn remove(&mut self, id: WatcherId, span: &Span) {
        let Some(key) = span.exact() else { return self.ranges.remove(id) };
        if let Some(ids) = self.exact.get_mut(key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.exact.remove(key);
            }
        }
    }

    fn find(&mut self, key: &[u8], found: &mut Vec<WatcherId>) {
        found.extend(self.exact.get(key).into_iter().flatten());
        self.ranges.find(key, found);
    }
}

/// Ranges as a balanced tree laid out in a sorted list: a part of the list is a subtree, its middle the root. Sorted
/// anew by the first search after a change; watchers come and go more rarely than writes.
#[derive(Debug, Default)]
struct Ranges {
    /// By lower bound, once sorted.
    entries: Vec<(Span, WatcherId)>,
    /// For each root, which entry of its subtree reaches farthest.
    farthest: Vec<usize>,
    sorted: bool,
}

impl Ranges {
    fn add(&mut self, id: WatcherId, span: Span) {
        self.entries.push((span, id));
        self.sorted = false;
    }

    fn remove(&mut self, id: WatcherId) {
        self.entries.retain(|(_, other)| *other != id);
        self.sorted = false;
    }

    fn find(&mut self, key: &[u8], found: &mut Vec<WatcherId>) {
        if !self.sorted {
            self.entries.sort_by(|(a, _), (b, _)| by_lower(&a.lower, &b.lower));
            self.farthest = vec![0; self.entries.len()];
            self.reach(0, self.entries.len());
            self.sorted = true;
        }
        self.search(0, self.entries.len(), key, found);
    }

    /// Fills in `farthest` of the subtree and gives that of its root.
    fn reach(&mut self, from: usize, to: usize) -> Option<usize> {
        let root = middle(from, to)?;
        let below = [Some(root), self.reach(from, root), self.reach(root + 1, to)];
        let farther = |a: &usize, b: &usize| by_upper(&self.entries[*a].0.upper, &self.entries[*b].0.upper);
        let farthest = below.into_iter().flatten().max_by(farther)?;
        self.farthest[root] = farthest;
        Some(farthest)
    }

    fn search(&self, from: usize, to: usize, key: &[u8], found: &mut Vec<WatcherId>) {
        let Some(root) = middle(from, to) else { return };
        if !reaches(&self.entries[self.farthest[root]].0.upper, key) {
            return;
        }
        self.search(from, root, key, found);
        let (span, id) = &self.entries[root];
        // What is to the right begins no earlier.
        if begins(&span.lower, key) {
            if reaches(&span.upper, key) {
                found.push(*id);
            }
            self.search(root + 1, to, key, found);
        }
    }
}

fn middle(from: usize, to: usize) -> Option<usize> {
    (from < to).then(|| from + (to - from) / 2)
}

fn begins(lower: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    match lower {
        Bound::Unbounded => true,
        Bound::Included(lower) => &lower[..] <= key,
        Bound::Excluded(lower) => &lower[..] < key,
    }
}

fn reaches(upper: &Bound<Vec<u8>>, key: &[u8]) -> bool {
    match upper {
        Bound::Unbounded => true,
        Bound::Included(upper) => key <= &upper[..],
        Bound::Excluded(upper) => key < &upper[..],
    }
}

fn by_lower(a: &Bound<Vec<u8>>, b: &Bound<Vec<u8>>) -> Ordering {
    match (a, b) {
        (Bound::Unbounded, Bound::Unbounded) => Ordering::Equal,
        (Bound::Unbounded, _) => Ordering::Less,
        (_, Bound::Unbounded) => Ordering::Greater,
        (Bound::Included(a), Bound::Included(b)) | (Bound::Excluded(a), Bound::Excluded(b)) => a.cmp(b),
        (Bound::Included(a), Bound::Excluded(b)) => a.cmp(b).then(Ordering::Less),
        (Bound::Excluded(a), Bound::Included(b)) => a.cmp(b).then(Ordering::Greater),
    }
}

fn by_upper(a: &Bound<Vec<u8>>, b: &Bound<Vec<u8>>) -> Ordering {
    match (a, b) {
        (Bound::Unbounded, Bound::Unbounded) => Ordering::Equal,
        (Bound::Unbounded, _) => Ordering::Greater,
        (_, Bound::Unbounded) => Ordering::Less,
        (Bound::Included(a), Bound::Included(b)) | (Bound::Excluded(a), Bound::Excluded(b)) => a.cmp(b),
        (Bound::Included(a), Bound::Excluded(b)) => a.cmp(b).then(Ordering::Greater),
        (Bound::Excluded(a), Bound::Included(b)) => a.cmp(b).then(Ordering::Less),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::fixture::{self, GLUE, plan};
    use super::*;
    use crate::schema::IndexId;

    fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
        let key = prop::collection::vec(0..3_u8, 0..3);
        prop_oneof![
            1 => Just(Bound::Unbounded),
            4 => key.clone().prop_map(Bound::Included),
            2 => key.prop_map(Bound::Excluded),
        ]
    }

    fn filters() -> impl Strategy<Value = Vec<Filter>> {
        let filter = (0..3_u32, prop::option::of(0..2_usize), bound(), bound(), any::<bool>()).prop_map(
            |(record, index, lower, upper, exact)| {
                let upper = if exact { lower.clone() } else { upper };
                let index = index.map(|index| IndexId::named(GLUE.indexes[index].name));
                Filter::new(&crate::schema::Plan { lower, upper, index, ..plan(RecordId(record)) }, GLUE)
            },
        );
        prop::collection::vec(filter, 0..30)
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let key = || prop::collection::vec(0..3_u8, 0..3);
        let value = move || prop::option::of((key(), prop::option::of(key())));
        let encode =
            |value: Option<(Vec<u8>, Option<Vec<u8>>)>| value.map(|(a, b)| fixture::value(&a, b.as_deref(), 0));
        let change = (0..3_u32, key(), value(), value()).prop_map(move |(record, key, before, after)| Change {
            record: RecordId(record),
            key: Bytes::from(key),
            before: encode(before).map(|value| (1, value)),
            after: encode(after),
        });
        prop::collection::vec(change, 1..10)
    }

    proptest! {
        /// Found by hash and tree is exactly who matches when everybody is asked, while watchers come and go.
        #[test]
        fn who_is_found_is_who_matches(filters in filters(), changes in changes(), gone in any::<u32>()) {
            let mut interests = Interests::default();
            let ids = || (0..).map(WatcherId);
            for (id, filter) in ids().zip(&filters) {
                interests.add(id, filter);
            }
            let mut found = Vec::new();
            let is_gone = |id: WatcherId| gone >> (id.0 % 32) & 1 == 1;
            for some_are_gone in [false, true] {
                for change in &changes {
                    interests.find(change, &mut found);
                    let matching = ids().zip(&filters).filter(|(_, filter)| filter.matches(change)).map(|(id, _)| id);
                    let expected: Vec<_> = matching.filter(|id| !(some_are_gone && is_gone(*id))).collect();
                    found.sort_unstable();
                    prop_assert_eq!(&found, &expected);
                }
                for (id, filter) in ids().zip(&filters).filter(|(id, _)| is_gone(*id)) {
                    interests.remove(id, filter);
                }
            }
            for (id, filter) in ids().zip(&filters) {
                interests.remove(id, filter);
            }
            prop_assert!(interests.records.is_empty(), "nothing is left behind");
        }
    }
}
