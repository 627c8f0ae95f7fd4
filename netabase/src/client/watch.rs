//! A watch at whichever member: asks for the next changes from where the last answer ended.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use super::WATCHES_MAX;
use super::ask::{Failure, into_error};
use super::shared::Shared;
use crate::desk::message::{Request, Told, Trouble, Watched};
use crate::error::{Error, Result};
use crate::event::{Event, Start};
use crate::schema::Plan;
use crate::storage::{Change, Place};

/// How long a request waits at the member for a change.
const WAIT: Duration = Duration::from_secs(10);
/// How long its answer may take beyond that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a request that came to nothing.
const AGAIN: Duration = Duration::from_millis(50);

type Asking = BoxFuture<'static, Option<Result<Watched>>>;

/// A running watch. It keeps no client running.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    plan: Plan,
    next: Start,
    ready: VecDeque<Result<Event>>,
    asking: Option<Asking>,
    ended: bool,
    _slot: OwnedSemaphorePermit,
}

impl Watch {
    /// Begins at the member: what is written from then on, or is there, is told.
    ///
    /// # Errors
    /// [`Error::Compacted`] when changes to begin with are gone; [`Error::Overloaded`] with too many watches.
    pub(crate) async fn begin(shared: Arc<Shared>, plan: Plan, start: Start) -> Result<Watch> {
        shared.check_index(&plan)?;
        let slot = Arc::clone(&shared.watches).try_acquire_owned();
        let slot = slot.map_err(|_| Error::Overloaded { limit: WATCHES_MAX })?;
        let ask = || Request::Watch { seen: shared.seen(), plan: plan.clone(), start: start.clone(), wait_ms: 0 };
        let watched: Watched = shared.read(ask).await?;
        let mut watch =
            Watch { shared, plan, next: start, ready: VecDeque::new(), asking: None, ended: false, _slot: slot };
        watch.on_answer(Ok(watched));
        Ok(watch)
    }

    /// The next event; `None` at the end. As of a watcher on a node.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Poll::Ready(Some(next));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let asking = self
                .asking
                .get_or_insert_with(|| Box::pin(ask(Arc::clone(&self.shared), self.plan.clone(), self.next.clone())));
            let answer = ready!(asking.as_mut().poll(cx));
            self.asking = None;
            match answer {
                Some(answer) => self.on_answer(answer),
                None => self.ended = true,
            }
        }
    }

    fn on_answer(&mut self, answer: Result<Watched>) {
        match answer {
            Ok(Watched { applied, events, next, lagged }) => {
                self.shared.see(applied);
                self.ready.extend(lagged.map(|missed| Err(Error::Lagged { missed })));
                for told in events {
                    let event = self.event(told);
                    self.ready.push_back(Ok(event));
                }
                self.next = next;
            }
            // It was read too slowly, or no member was there for too long.
            Err(Error::Compacted { oldest }) => {
                let from = match &self.next {
                    Start::At(place) => place.round,
                    _ => oldest,
                };
                self.next = Start::At(Place::start_of(oldest));
                self.ready.push_back(Err(Error::Lagged { missed: oldest.saturating_sub(from).max(1) }));
            }
            Err(error) => {
                self.ready.push_back(Err(error));
                self.ended = true;
            }
        }
    }

    fn event(&self, told: Told) -> Event {
        let Told { place, round, key, before, after } = told;
        Event { place, round, change: Arc::new(Change { record: self.plan.record, key, before, after }) }
    }
}

/// Asks one member after the other, for as long as it takes; `None` when the client has ended.
async fn ask(shared: Arc<Shared>, plan: Plan, start: Start) -> Option<Result<Watched>> {
    let wait_ms = u32::try_from(WAIT.as_millis()).unwrap_or(u32::MAX);
    loop {
        let member = shared.member().await.ok()?;
        let request = Request::Watch { seen: shared.seen(), plan: plan.clone(), start: start.clone(), wait_ms };
        match shared.ask(member, &request, WAIT + ANSWER_TIMEOUT).await {
            Ok(watched) => return Some(Ok(watched)),
            Err(failure) if shared.is_passing(member, &failure) => {}
            Err(Failure::Trouble(Trouble::Overloaded { .. })) => {}
            Err(failure) => return Some(Err(into_error(failure))),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("next", &self.next).field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}
