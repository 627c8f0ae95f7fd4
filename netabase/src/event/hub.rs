//! The hub: reads each new round's changes once and hands each to the watchers it matches.
//!
//! What must hold: everything before `next` has been handed out; a watcher is fed from a place that the hub has not
//! reached; the thread lives only while somebody watches, and holds neither a view while it matches nor a lock that a
//! writer takes. Made and closed by the node; watchers register and join from any thread.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;

use tokio::sync::{Notify, watch};

use super::PAGE_BYTES;
use super::filter::Filter;
use super::inbox::Inbox;
use super::interest::{Interests, WatcherId};
use crate::error::{Error, Result};
use crate::storage::{Change, Changes, Place, View, Views};

pub(crate) struct Hub {
    state: Mutex<State>,
    /// The last applied round.
    applied: watch::Receiver<u64>,
    /// That the thread should look whether it is still needed.
    awake: Notify,
}

struct State {
    /// Gone once the hub is closed.
    views: Option<Views>,
    failure: Option<String>,
    next: Place,
    interests: Interests,
    inboxes: HashMap<WatcherId, Arc<Inbox>>,
    last_id: u64,
    running: bool,
    thread: Option<JoinHandle<()>>,
}

/// How far a pass of the thread got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// There may be more at once.
    More,
    /// Everything applied is handed out.
    Idle,
    /// Nobody watches any more, or the hub is closed.
    Over,
}

impl Hub {
    pub(crate) fn new(views: Views, applied: watch::Receiver<u64>) -> Arc<Hub> {
        let state = State {
            views: Some(views),
            failure: None,
            next: Place::start_of(0),
            interests: Interests::default(),
            inboxes: HashMap::new(),
            last_id: 0,
            running: false,
            thread: None,
        };
        Arc::new(Hub { state: Mutex::new(state), applied, awake: Notify::new() })
    }

    /// No operation leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest view; `None` once the hub is closed.
    pub(super) fn view(&self) -> Option<View> {
        let views = self.lock().views.clone();
        views.map(|views| views.view())
    }

    /// Why the hub was closed, if the node had failed.
    pub(super) fn failure(&self) -> Option<Error> {
        self.lock().failure.clone().map(|reason| Error::Storage { reason, source: None })
    }

    /// Takes in a watcher that reads from `from` on, and is fed once it joins.
    pub(super) fn register(self: &Arc<Self>, filter: &Filter, from: Place) -> Result<(WatcherId, Arc<Inbox>)> {
        let mut state = self.lock();
        let Some(views) = &state.views else { return Err(Error::ShutDown) };
        if !state.running {
            let next = Place::after_round(views.view().applied());
            let hub = Arc::clone(self);
            let thread = std::thread::Builder::new().name("netabase-watches".into()).spawn(move || hub.run());
            let thread =
                thread.map_err(|source| Error::storage("the thread of the watches cannot be started", source))?;
            (state.running, state.thread, state.next) = (true, Some(thread), next);
        }
        state.last_id += 1;
        let (id, inbox) = (WatcherId(state.last_id), Arc::new(Inbox::new(from)));
        state.interests.add(id, filter);
        state.inboxes.insert(id, Arc::clone(&inbox));
        Ok((id, inbox))
    }

    /// Feeds a watcher that has read the table up to `from`; from the place returned on, everything is queued. What is
    /// before it was handed out already, and is for the watcher to read.
    pub(super) fn join(&self, inbox: &Inbox, from: Place) -> Place {
        let state = self.lock();
        let fed = from.max(state.next);
        inbox.feed_from(fed);
        fed
    }

    /// Before which place everything is in the queues of those whom it concerns.
    pub(super) fn handed_out(&self) -> Place {
        self.lock().next
    }

    pub(super) fn deregister(&self, id: WatcherId, filter: &Filter) {
        let mut state = self.lock();
        state.interests.remove(id, filter);
        state.inboxes.remove(&id);
        if state.inboxes.is_empty() {
            self.awake.notify_one();
        }
    }

    /// Ends every watch, and waits until the thread has let go of the store. Not for the thread itself.
    pub(crate) fn close(&self, failure: Option<&Error>) {
        let thread = self.end(failure);
        self.awake.notify_one();
        if let Some(thread) = thread {
            // A panic there was reported where it happened.
            let _ = thread.join();
        }
    }

    fn end(&self, failure: Option<&Error>) -> Option<JoinHandle<()>> {
        let mut state = self.lock();
        state.views = None;
        state.failure = failure.map(ToString::to_string);
        let wakers: Vec<Waker> = state.inboxes.values().filter_map(|inbox| inbox.close()).collect();
        let thread = state.thread.take();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        thread
    }

    /// The thread.
    fn run(&self) {
        let mut applied = self.applied.clone();
        let waiting = async {
            loop {
                applied.mark_unchanged();
                match self.pass() {
                    Pass::More => {}
                    Pass::Over => return,
                    Pass::Idle => {
                        tokio::select! {
                            Ok(()) = applied.changed() => {}
                            () = self.awake.notified() => {}
                        }
                    }
                }
            }
        };
        // It waits for two things that other threads do: no clock, no sockets.
        match tokio::runtime::Builder::new_current_thread().build() {
            Ok(runtime) => runtime.block_on(waiting),
            Err(source) => drop(self.end(Some(&Error::storage("the watches cannot be followed", source)))),
        }
    }

    /// Hands out one page of changes.
    fn pass(&self) -> Pass {
        let (views, next) = {
            let mut state = self.lock();
            if state.inboxes.is_empty() || state.views.is_none() {
                // Whoever registers from here on starts another thread.
                state.running = false;
            }
            match &state.views {
                Some(views) if state.running => (views.clone(), state.next),
                _ => return Pass::Over,
            }
        };
        let (applied, changes) = {
            let view = views.view();
            (view.applied(), view.changes(next, PAGE_BYTES))
        };
        drop(views);
        match changes {
            Ok(Changes::Page { changes, next }) => {
                self.hand_out(&changes, next);
                if next.round > applied { Pass::Idle } else { Pass::More }
            }
            // The thread did not get to run while the whole table was replaced: everybody reads by themselves.
            Ok(Changes::Pruned { oldest }) => {
                let mut state = self.lock();
                let cut = state.next;
                state.next = Place::start_of(oldest);
                let wakers: Vec<Waker> = state.inboxes.values().filter_map(|inbox| inbox.cut(cut)).collect();
                drop(state);
                wakers.into_iter().for_each(Waker::wake);
                Pass::More
            }
            Err(error) => {
                tracing::error!(%error, "the changes cannot be read; every watch ends");
                drop(self.end(Some(&error)));
                Pass::Over
            }
        }
    }

    fn hand_out(&self, changes: &[(Place, Change)], next: Place) {
        let (mut found, mut wakers) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        let State { interests, inboxes, .. } = &mut *state;
        for (place, change) in changes {
            interests.find(change, &mut found);
            if found.is_empty() {
                continue;
            }
            // On its own: in a queue, a small change must not keep a large row.
            let change = Arc::new(change.detached());
            let inboxes = found.iter().filter_map(|id| inboxes.get(id));
            wakers.extend(inboxes.filter_map(|inbox| inbox.push(*place, &change)));
        }
        state.next = next;
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether the thread runs, or is about to.
    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.lock().running
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Hub").field("watchers", &state.inboxes.len()).field("next", &state.next).finish_non_exhaustive()
    }
}
