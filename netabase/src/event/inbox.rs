//! One watcher's queue, between the hub and whoever reads.
//!
//! What must hold: the queue is bounded in entries and bytes; from the place on at which the feed was cut nothing is
//! queued, so a reader that has emptied the queue goes on there in the table, and misses nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::Event;
use crate::storage::{Change, Place};

/// How many events may wait for a reader.
const QUEUE_EVENTS: usize = 1_024;
/// What they may take; a single one may take more.
const QUEUE_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Debug)]
struct State {
    queue: VecDeque<Event>,
    bytes: usize,
    feed: Feed,
    closed: bool,
    reader: Option<Waker>,
}

/// What the queue holds of what the watcher wants.
#[derive(Clone, Copy, Debug)]
enum Feed {
    /// Everything from this place on.
    From(Place),
    /// Everything before this place, and nothing behind.
    Cut(Place),
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Event(Event),
    /// Nothing is queued from this place on: it is to be read from the table.
    Cut(Place),
    /// Nothing yet; the waker is kept.
    Nothing,
    /// Nothing any more.
    Closed,
}

impl Inbox {
    /// Of a watcher that has to read the table up to `from`, and beyond until it joins.
    pub(super) fn new(from: Place) -> Inbox {
        let (queue, feed) = (VecDeque::new(), Feed::Cut(from));
        Inbox(Mutex::new(State { queue, bytes: 0, feed, closed: false, reader: None }))
    }

    /// No operation leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, what comes from `from` on is queued. For the hub, and a reader that has found the cut.
    pub(super) fn feed_from(&self, from: Place) {
        self.lock().feed = Feed::From(from);
    }

    /// Queues a change that the watcher wants. If there is no room, the feed is cut here.
    pub(super) fn push(&self, place: Place, change: &Arc<Change>) -> Option<Waker> {
        let mut state = self.lock();
        match state.feed {
            Feed::From(from) if place >= from => {
                let bytes = state.bytes + change.encoded_bytes();
                let full = state.queue.len() >= QUEUE_EVENTS || bytes > QUEUE_BYTES;
                if full && !state.queue.is_empty() {
                    state.feed = Feed::Cut(place);
                } else {
                    state.bytes = bytes;
                    state.queue.push_back(Event::of(place, Arc::clone(change)));
                }
                state.reader.take()
            }
            _ => None,
        }
    }

    /// Nothing from `place` on will come.
    pub(super) fn cut(&self, place: Place) -> Option<Waker> {
        let mut state = self.lock();
        if let Feed::From(from) = state.feed {
            state.feed = Feed::Cut(place.max(from));
        }
        state.reader.take()
    }

    /// What is queued is the last there is.
    pub(super) fn close(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.closed = true;
        state.reader.take()
    }

    pub(super) fn take(&self, reader: &Waker) -> Found {
        let mut state = self.lock();
        if let Some(event) = state.queue.pop_front() {
            state.bytes -= event.change.encoded_bytes();
            return Found::Event(event);
        }
        match state.feed {
            _ if state.closed => Found::Closed,
            Feed::Cut(place) => Found::Cut(place),
            Feed::From(_) => {
                state.reader = Some(reader.clone());
                Found::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::schema::RecordId;

    fn change(bytes: usize) -> Arc<Change> {
        let after = Some(Bytes::from(vec![0; bytes]));
        Arc::new(Change { record: RecordId(1), key: Bytes::new(), before: None, after })
    }

    fn place(position: u32) -> Place {
        Place { round: 1, position }
    }

    fn drain(inbox: &Inbox) -> (usize, Found) {
        let mut events = 0;
        loop {
            match inbox.take(Waker::noop()) {
                Found::Event(event) => {
                    assert_eq!(event.place, place(events));
                    events += 1;
                }
                other => return (events as usize, other),
            }
        }
    }

    #[test]
    fn a_full_queue_cuts_the_feed_where_there_was_no_room() {
        for (bytes, room) in [(1, QUEUE_EVENTS), (100 << 10, 10), (2 << 20, 1)] {
            let inbox = Inbox::new(place(0));
            let change = change(bytes);
            assert_eq!(inbox.push(place(0), &change).map(drop), None);
            assert_eq!(inbox.take(Waker::noop()), Found::Cut(place(0)), "not fed yet");
            inbox.feed_from(place(0));
            for position in 0..2 * QUEUE_EVENTS as u32 {
                inbox.push(place(position), &change);
            }
            assert_eq!(drain(&inbox), (room, Found::Cut(place(room as u32))), "of {bytes} bytes each");
            // Room alone does not make it go on: something was left out.
            inbox.push(place(9_999), &change);
            assert_eq!(drain(&inbox), (0, Found::Cut(place(room as u32))));
        }
    }

    #[test]
    fn what_comes_before_the_feed_is_not_queued() {
        let inbox = Inbox::new(place(0));
        inbox.feed_from(place(2));
        for position in 0..2 {
            inbox.push(place(position), &change(1));
        }
        assert_eq!(inbox.take(Waker::noop()), Found::Nothing);
        inbox.cut(place(1));
        assert_eq!(inbox.take(Waker::noop()), Found::Cut(place(2)), "a watcher of the future is not set back");
        inbox.close();
        assert_eq!(inbox.take(Waker::noop()), Found::Closed);
    }
}
