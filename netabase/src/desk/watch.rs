//! Watches of clients: each request is a watcher of its own, from where the last one ended, for as long as it waits.
//!
//! Must hold: what a request answers and where the next begins leave no gap and overlap in nothing, at whichever member;
//! the beginning moves on also where nothing matches, so that it does not fall behind what is kept of changes.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::PAGE_BYTES;
use super::message::{Told, Trouble, Watched};
use super::read::{glue, stopping};
use super::serve::Counter;
use crate::consensus::Round;
use crate::error::Error;
use crate::event::{Event, Start, Watcher};
use crate::schema::Plan;
use crate::storage::Place;

/// How long a request may wait for a change.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// An answer ends behind the change that makes it larger. A change has two values.
const ANSWER_BYTES: usize = PAGE_BYTES / 2;

impl Counter {
    pub(super) async fn watch(
        &self,
        seen: Round,
        plan: Plan,
        start: Start,
        wait: Duration,
    ) -> Result<Watched, Trouble> {
        let seen = match &start {
            Start::Rest { base, .. } => seen.max(*base),
            _ => seen,
        };
        let view = self.view_since(seen).await?;
        let (applied, glue) = (view.applied(), glue(&self.catalog, &view, &plan)?);
        drop(view);
        let start = match start {
            Start::Now => Start::At(Place::after_round(applied)),
            Start::Current => Start::Rest { base: applied, last: None },
            later => later,
        };
        let watcher = Watcher::start(std::sync::Arc::clone(&self.hub), &plan, *glue, start.clone())?;
        self.gather(watcher, start, wait.min(WAIT_MAX)).await
    }

    async fn gather(&self, mut watcher: Watcher, start: Start, wait: Duration) -> Result<Watched, Trouble> {
        let over = tokio::time::sleep(wait);
        tokio::pin!(over);
        let mut watched = Watched { applied: 0, events: Vec::new(), next: start, lagged: None };
        let (mut bytes, mut ends) = (0, false);
        loop {
            // Asked before: what was handed out by then is in what comes now.
            let frontier = watcher.frontier();
            match poll_fn(|cx| Poll::Ready(watcher.poll_next(cx))).await {
                Poll::Ready(Some(Ok(event))) => {
                    watched.next = watcher.behind(&event);
                    bytes += event.change.encoded_bytes();
                    watched.events.push(told(&event));
                    if bytes >= ANSWER_BYTES {
                        break;
                    }
                }
                // An error comes again where the next request begins.
                Poll::Ready(_) if !watched.events.is_empty() => break,
                Poll::Ready(Some(Err(Error::Lagged { missed }))) => {
                    watched.lagged = Some(missed);
                    watched.next = watcher.unread().unwrap_or(watched.next);
                    break;
                }
                Poll::Ready(Some(Err(error))) => return Err(error.into()),
                Poll::Ready(None) => return Err(stopping()),
                Poll::Pending => {
                    if let Some(unread) = watcher.unread().or_else(|| frontier.map(|place| later(&watched.next, place)))
                    {
                        watched.next = unread;
                    }
                    if ends || !watched.events.is_empty() {
                        break;
                    }
                    tokio::select! {
                        biased;
                        () = &mut over => ends = true,
                        () = woken() => {}
                    }
                }
            }
        }
        watched.applied = self.replica.applied();
        Ok(watched)
    }
}

/// Everything before `frontier` was yielded; a start in the future stays there.
fn later(next: &Start, frontier: Place) -> Start {
    match next {
        Start::At(place) => Start::At(frontier.max(*place)),
        _ => Start::At(frontier),
    }
}

/// Ready when this task is polled again.
async fn woken() {
    futures::pending!();
}

fn told(event: &Event) -> Told {
    let change = &event.change;
    Told {
        place: event.place,
        round: event.round,
        key: change.key.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
    }
}
