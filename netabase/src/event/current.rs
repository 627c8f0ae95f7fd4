//! What is there as of one round, read page by page without holding a view from one page to the next.
//!
//! A later view shows a record as it was at the base round if its row is not younger; of a record that was written
//! since, the change table says what it was before its first such write: that change replaces a value not younger than
//! the base. So each page is the rows of the newest view that are not younger than the base, merged with those undone.
//! What must hold: undone are only records behind the last page; they are bounded, and the table reaches back to the
//! base. A reader too slow for that is told so, and gets the rest as of a later round.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::filter::Filter;
use super::{Event, PAGE_BYTES};
use crate::error::{Error, Result};
use crate::schema::{After, Plan};
use crate::storage::{Change, Changes, Place, Rows as _, Selecting, View};

/// What undone records may take.
const UNDONE_BYTES_MAX: usize = 8 << 20;
/// How many rows are looked at for a page.
const PAGE_ROWS: usize = 1_024;

/// Where a record is in the order of the plan: its index key, empty without an index, and its key.
type At = (Vec<u8>, Bytes);

pub(super) struct Current {
    plan: Plan,
    filter: Filter,
    base: u64,
    /// Up to where changes since the base are undone.
    undone_to: Place,
    /// Records that were written since, as they were; and where they were.
    undone: BTreeMap<At, (u64, Bytes)>,
    undone_bytes: usize,
    last: Option<At>,
}

/// A page of records.
pub(super) struct Rows {
    pub(super) events: Vec<Event>,
    /// Whether it is the last one.
    pub(super) over: bool,
}

impl Current {
    /// What was there in the round `base`, behind `last`.
    pub(super) fn new(plan: Plan, filter: Filter, base: u64, last: Option<At>) -> Current {
        let undone_to = Place::after_round(base);
        Current { plan, filter, base, undone_to, undone: BTreeMap::new(), undone_bytes: 0, last }
    }

    /// The round as of which it is read.
    pub(super) fn round(&self) -> u64 {
        self.base
    }

    /// The last record that was looked at.
    pub(super) fn last(&self) -> Option<&At> {
        self.last.as_ref()
    }

    pub(super) fn read(&mut self, view: &View) -> Result<Rows> {
        if view.oldest_change()? > self.base + 1 || !self.undo(view)? {
            let missed = view.applied().saturating_sub(self.base);
            let last = self.last.take();
            *self = Current::new(self.plan.clone(), self.filter.clone(), view.applied(), last);
            return Err(Error::Lagged { missed });
        }
        let after = self.last.as_ref().map(|(index_key, key)| match self.plan.index {
            None => After::Key(key.to_vec()),
            Some(_) => After::Row { index_key: index_key.clone(), key: key.to_vec() },
        });
        let plan = Plan { after, ..self.plan.clone() };
        let (mut page, mut looked_at, mut bytes) = (Vec::new(), 0, 0);
        let mut over = true;
        let mut rows = view.select(&plan, &self.filter.glue)?.within_a_page();
        for row in rows.by_ref() {
            let row = row?;
            let at = (row.index_key.map_or_else(Vec::new, |key| key.to_vec()), row.key);
            self.last = Some(at.clone());
            if row.round <= self.base {
                bytes += row.value.len();
                page.push((at, (row.round, row.value)));
            }
            looked_at += 1;
            if looked_at >= PAGE_ROWS || bytes >= PAGE_BYTES {
                over = false;
                break;
            }
        }
        if let Some(cut) = rows.cut() {
            over = false;
            self.last = Some(match cut.clone() {
                After::Key(key) => (Vec::new(), key.into()),
                After::Row { index_key, key } => (index_key, key.into()),
            });
        }
        page.extend(self.take_undone(over));
        page.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let events = page.into_iter().map(|((_, key), (round, value))| self.event(key, round, value)).collect();
        Ok(Rows { events, over })
    }

    /// Undoes what happened since the last page. `false`: it is too much.
    fn undo(&mut self, view: &View) -> Result<bool> {
        while self.undone_to.round <= view.applied() {
            let Changes::Page { changes, next } = view.changes(self.undone_to, PAGE_BYTES)? else { return Ok(false) };
            for (_, change) in changes.into_iter().filter(|(_, change)| change.record == self.filter.record) {
                let Some((round, value)) = change.before.filter(|(round, _)| *round <= self.base) else { continue };
                let Some(index_key) = self.filter.index_key(&value) else { continue };
                let at = (index_key, Bytes::copy_from_slice(&change.key));
                if view.read_at_ms().is_some_and(|now_ms| self.filter.glue.has_expired(&value, now_ms)) {
                    continue;
                }
                let selected = self.filter.span.contains(if self.filter.index.is_some() { &at.0 } else { &at.1 });
                if selected && self.last.as_ref().is_none_or(|last| at > *last) {
                    self.undone_bytes += at.0.len() + at.1.len() + value.len();
                    self.undone.insert(at, (round, Bytes::copy_from_slice(&value)));
                }
            }
            self.undone_to = next;
            if self.undone_bytes > UNDONE_BYTES_MAX {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The undone records up to the last row looked at, or all.
    fn take_undone(&mut self, all: bool) -> BTreeMap<At, (u64, Bytes)> {
        let mut taken = std::mem::take(&mut self.undone);
        if !all && let Some(last) = &self.last {
            self.undone = taken.split_off(last);
        }
        let bytes = |(at, (_, value)): (&At, &(u64, Bytes))| at.0.len() + at.1.len() + value.len();
        self.undone_bytes = self.undone.iter().map(bytes).sum();
        taken
    }

    fn event(&self, key: Bytes, round: u64, value: Bytes) -> Event {
        let change = Change { record: self.filter.record, key, before: None, after: Some(value) };
        Event { place: Place::of_current(self.base), round, change: Arc::new(change) }
    }
}
