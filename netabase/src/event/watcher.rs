//! One watcher: reads the table while it is behind, is fed by the hub once it has caught up.
//!
//! ```text
//! Current (what is there) ─▶ Reading (the table, up to where the hub feeds) ─▶ Fed (the inbox) ─ cut ─▶ Reading …
//! ```
//! What must hold: places are yielded in order, each once; between reading and being fed there is neither a gap nor an
//! overlap, because the hub says from where on it feeds before the table is read up to there. Polled by the handle.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::current::{Current, Rows};
use super::filter::Filter;
use super::hub::Hub;
use super::inbox::{Found, Inbox};
use super::interest::WatcherId;
use super::{Event, PAGE_BYTES};
use crate::error::{Error, Result};
use crate::schema::{Plan, RecordGlue};
use crate::storage::{Changes, Place, View};

/// Where a watcher begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Start {
    /// Behind everything that is applied here now.
    Now,
    /// At this place, which may not have been reached yet.
    At(Place),
    /// With the records that are there now.
    Current,
    /// With those records that were there in the round `base` and are behind one of them, by its key in the index and its
    /// key: what another watcher had not yielded yet.
    Rest { base: u64, last: Option<(Vec<u8>, Bytes)> },
}

pub(crate) struct Watcher {
    hub: Arc<Hub>,
    id: WatcherId,
    inbox: Arc<Inbox>,
    filter: Filter,
    stage: Stage,
    /// Read, and not yet yielded.
    ready: VecDeque<Event>,
}

enum Stage {
    Current(Box<Current>),
    Reading {
        from: Place,
        /// From where on the hub feeds, once it does.
        fed: Option<Place>,
    },
    Fed,
    Ended,
}

impl Watcher {
    /// A watcher of what the plan selects.
    ///
    /// # Errors
    /// [`Error::Compacted`] when the table begins behind the place to start at.
    pub(crate) fn start(hub: Arc<Hub>, plan: &Plan, glue: RecordGlue, start: Start) -> Result<Watcher> {
        let filter = Filter::new(plan, glue);
        let view = hub.view().ok_or_else(|| hub.failure().unwrap_or(Error::ShutDown))?;
        let from = match &start {
            Start::At(place) => Place::start_of(1).max(*place),
            Start::Now | Start::Current => Place::after_round(view.applied()),
            Start::Rest { base, .. } => Place::after_round(*base),
        };
        let oldest = view.oldest_change()?;
        // What is left of the records says by itself that it came too late.
        if from.round < oldest && !matches!(start, Start::Rest { .. }) {
            return Err(Error::Compacted { oldest });
        }
        let (id, inbox) = hub.register(&filter, from)?;
        let stage = match start {
            Start::Current => {
                Stage::Current(Box::new(Current::new(plan.clone(), filter.clone(), view.applied(), None)))
            }
            Start::Rest { base, last } => {
                Stage::Current(Box::new(Current::new(plan.clone(), filter.clone(), base, last)))
            }
            Start::Now | Start::At(_) => Stage::Reading { from, fed: None },
        };
        Ok(Watcher { hub, id, inbox, filter, stage, ready: VecDeque::new() })
    }

    /// The next event; `None` at the end. An error is yielded once: after [`Error::Lagged`] it goes on with what there
    /// is, any other one is the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            match &mut self.stage {
                Stage::Ended => return Poll::Ready(None),
                Stage::Fed => match self.inbox.take(cx.waker()) {
                    Found::Event(event) => return Poll::Ready(Some(Ok(event))),
                    Found::Nothing => return Poll::Pending,
                    Found::Cut(from) => self.stage = Stage::Reading { from, fed: None },
                    Found::Closed => return Poll::Ready(self.end()),
                },
                Stage::Current(_) | Stage::Reading { .. } => {
                    let Some(view) = self.hub.view() else { return Poll::Ready(self.end()) };
                    if let Err(error) = self.read(&view) {
                        if !matches!(error, Error::Lagged { .. }) {
                            self.stage = Stage::Ended;
                        }
                        return Poll::Ready(Some(Err(error)));
                    }
                    drop(view);
                    if self.ready.is_empty() && !matches!(self.stage, Stage::Fed) {
                        // A page at a time: other tasks of the reader's thread want to run, too.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Where another watcher begins that is to yield what this one would after `event`.
    pub(crate) fn behind(&self, event: &Event) -> Start {
        match &event.change.after {
            Some(value) if event.place == Place::of_current(event.place.round) => {
                let index_key = self.filter.index_key(value).unwrap_or_default();
                Start::Rest { base: event.place.round, last: Some((index_key, event.change.key.clone())) }
            }
            _ => Start::At(event.place.next()),
        }
    }

    /// Where another watcher begins that is to yield what this one has not read yet: right after an error.
    pub(crate) fn unread(&self) -> Option<Start> {
        match &self.stage {
            Stage::Current(current) => Some(Start::Rest { base: current.round(), last: current.last().cloned() }),
            Stage::Reading { from, .. } => Some(Start::At(*from)),
            Stage::Fed | Stage::Ended => None,
        }
    }

    /// Before which place everything was yielded, once [`poll_next`](Watcher::poll_next) is called after this and gives
    /// nothing; unless it is still reading.
    pub(crate) fn frontier(&self) -> Option<Place> {
        matches!(self.stage, Stage::Fed).then(|| self.hub.handed_out())
    }

    #[cfg(test)]
    pub(super) fn is_fed(&self) -> bool {
        matches!(self.stage, Stage::Fed)
    }

    fn end(&mut self) -> Option<Result<Event>> {
        self.stage = Stage::Ended;
        self.hub.failure().map(Err)
    }

    /// Reads a page of what is there, or of the table.
    fn read(&mut self, view: &View) -> Result<()> {
        match &mut self.stage {
            Stage::Current(current) => {
                let Rows { events, over } = current.read(view)?;
                self.ready.extend(events);
                if over {
                    self.stage = Stage::Reading { from: Place::after_round(current.round()), fed: None };
                }
                Ok(())
            }
            &mut Stage::Reading { from, fed } => self.read_table(view, from, fed),
            Stage::Fed | Stage::Ended => Ok(()),
        }
    }

    fn read_table(&mut self, view: &View, from: Place, fed: Option<Place>) -> Result<()> {
        let (changes, next) = match view.changes(from, PAGE_BYTES)? {
            Changes::Page { changes, next } => (changes, next),
            Changes::Pruned { oldest } => {
                // What the hub feeds is not lost.
                let next = fed.map_or(Place::start_of(oldest), |fed| fed.min(Place::start_of(oldest)));
                self.stage = stage(next, fed);
                return Err(Error::Lagged { missed: (next.round - from.round).max(1) });
            }
        };
        let wanted = changes
            .into_iter()
            .filter(|(place, change)| fed.is_none_or(|fed| *place < fed) && self.filter.matches(change));
        self.ready.extend(wanted.map(|(place, change)| Event::of(place, Arc::new(change))));
        // With the last page read the hub is asked to feed; it may be ahead of what was read.
        let caught_up = next.round > view.applied();
        let fed = fed.or_else(|| caught_up.then(|| self.hub.join(&self.inbox, next)));
        self.stage = stage(next, fed);
        Ok(())
    }
}

/// Read up to `next`: where the hub feeds from there on, that is enough.
fn stage(next: Place, fed: Option<Place>) -> Stage {
    match fed {
        Some(fed) if next >= fed => Stage::Fed,
        fed => Stage::Reading { from: next, fed },
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.hub.deregister(self.id, &self.filter);
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Current(_) => "Current",
            Stage::Reading { .. } => "Reading",
            Stage::Fed => "Fed",
            Stage::Ended => "Ended",
        };
        f.debug_struct("Watcher").field("id", &self.id).field("stage", &stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOTE, Stage as Bench, plan, value};
    use super::*;

    /// Between a reader's look at the table and its joining, the hub hands out what the reader has not seen.
    #[test]
    fn what_the_hub_is_ahead_by_is_read_from_the_table() {
        let mut bench = Bench::new(u64::MAX / 2);
        // What it is told of comes from the hub: then the hub has handed it out.
        let mut fast = bench.watch(&plan(NOTE), Start::Now).expect("it begins");
        fast.until_fed();
        let write = [(1, Some(value(b"", None, 0))), (2, Some(value(b"", None, 0)))];
        let mut all: Vec<_> = (0..5).flat_map(|_| bench.apply(&write)).collect();
        let mut reader = bench.watch(&plan(NOTE), Start::At(Place::start_of(1))).expect("it begins");
        let stale = bench.hub.view().expect("it is open");
        all.extend(bench.apply(&write));
        all.iter().for_each(|expected| assert_eq!(fast.event(), *expected));
        reader.0.read(&stale).expect("memory reads");
        assert!(!reader.0.is_fed(), "it has not seen round 6");
        all.extend(bench.apply(&write));
        all.iter().for_each(|expected| assert_eq!(reader.event(), *expected));
        assert!(reader.poll().is_none() && reader.0.is_fed());
    }
}
