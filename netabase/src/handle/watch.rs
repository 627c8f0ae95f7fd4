//! Watching: from a query to a stream of changes.

use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;

use super::change::{Change, Cursor};
use super::origin::{Origin, at};
use super::{Answer, Netabase};
use crate::client;
use crate::error::{Error, Result};
use crate::event::{Event, Hub, Start, Watcher};
use crate::schema::{Agreed, Member, Plan, Query, Record, RecordGlue, Schema};
use crate::storage::Place;

impl<S: Schema> Netabase<S> {
    /// Watches what a query selects: each write there that this node applies from now on, once, in the order in which the
    /// cluster agreed on them.
    ///
    /// Over an index, a write counts if the record was selected before it or is after it: who watches a city is told of
    /// those who leave it. A write that stores a record as it was is a change, too. A query that selects nothing
    /// (`20..10`) yields nothing; `limit`, `reverse` and `after` are refused.
    ///
    /// The watch ends when the node stops, and does not keep it running.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a query or options that a watch cannot have, [`Error::Compacted`] when the changes to
    /// begin with are gone, [`Error::ShutDown`].
    ///
    /// ```
    /// use netabase::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64, #[netabase(index)] city: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> netabase::Result<()> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// # let db = Netabase::<Account>::start().data_dir(directory.path()).await?;
    /// let mut changes = db.watch(Account::by_city("Paris")).await?;
    /// db.put_record(Account { id: 7, city: "Paris".into() }).await?;
    /// db.put_record(Account { id: 7, city: "Rome".into() }).await?;
    ///
    /// let arrival = changes.next().await.expect("the node runs")?;
    /// let departure = changes.next().await.expect("the node runs")?;
    /// let Change::Put { record, previous, .. } = departure else { panic!("it was not removed") };
    /// assert_eq!((record.city.as_str(), previous.map(|account| account.city).as_deref()), ("Rome", Some("Paris")));
    ///
    /// // After a restart, here or on another node: everything behind the first change.
    /// let mut resumed = db.watch(Account::by_city("Paris")).after(arrival.cursor()).await?;
    /// assert!(matches!(resumed.next().await, Some(Ok(Change::Put { .. }))));
    /// # db.shutdown().await
    /// # }
    /// ```
    pub fn watch<R: Member<S>>(&self, query: Query<R>) -> Watch<R> {
        Watch {
            hub: match &self.origin {
                Origin::Here(node) => Ok(Arc::clone(&node.hub)),
                Origin::There(client) => Err(at(client)),
            },
            plan: query.plan::<S>(),
            glue: R::__GLUE,
            starts: Vec::new(),
            record: PhantomData,
        }
    }
}

/// A watch about to begin. Await it; until then nothing happens.
#[must_use = "a watch begins when this is awaited"]
pub struct Watch<R: Record> {
    /// Of this node; or the client, for the member's.
    hub: Result<Arc<Hub>, Arc<client::Shared>>,
    plan: Plan,
    glue: RecordGlue,
    starts: Vec<Start>,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> Watch<R> {
    /// Begins with the first change of this round, such as the one behind a receipt's. A round that this node has not
    /// reached is waited for.
    ///
    /// Awaiting it gives [`Error::Compacted`] when changes of that round or a later one are gone: the last 64 MiB of them
    /// are kept.
    pub fn from_round(self, round: u64) -> Self
    where
        R: Agreed,
    {
        self.starting(Start::At(Place::start_of(round)))
    }

    /// Begins behind a change that was seen before, on this node or another one of its cluster: with the next one, none
    /// missed, none repeated.
    ///
    /// Awaiting it gives [`Error::Compacted`] when that is no longer possible.
    pub fn after(self, cursor: Cursor) -> Self {
        self.starting(Start::At(cursor.place().next()))
    }

    /// Begins with what the query selects now, each record as a [`Change::Put`] without a previous one, in the order of
    /// the query; then come the changes, from the round behind that moment on. No write is missed or seen twice.
    ///
    /// However slowly it is read, the records are those of that one moment, and no memory grows with their number. Only
    /// when more is written meanwhile than is kept of changes, it yields [`Error::Lagged`] and goes on with the rest as it
    /// is by then.
    pub fn with_current(self) -> Self {
        self.starting(Start::Current)
    }

    fn starting(mut self, start: Start) -> Self {
        self.starts.push(start);
        self
    }

    /// Where it begins, if it can be watched.
    fn check(&self) -> Result<Start> {
        let refused = |reason: &str| Err(Error::Configuration { option: "watch", reason: reason.into() });
        if self.plan.limit.is_some() || self.plan.reverse || self.plan.after.is_some() {
            return refused(
                "changes come in the order of the writes, and do not end: leave `limit`, `reverse` and `after` off the query; a watch resumes with `db.watch(..).after(cursor)`",
            );
        }
        match &self.starts[..] {
            [] => Ok(Start::Now),
            [start] => Ok(start.clone()),
            _ => refused("it begins at one place: give one of `from_round`, `after` and `with_current`, once"),
        }
    }
}

impl<R: Record> IntoFuture for Watch<R> {
    type Output = Result<Changes<R>>;
    type IntoFuture = Answer<Changes<R>>;

    fn into_future(self) -> Self::IntoFuture {
        let start = match self.check() {
            Ok(start) => start,
            Err(error) => return Answer::ready(Err(error)),
        };
        let Watch { hub, plan, glue, .. } = self;
        match hub {
            Ok(hub) => Answer::ready(Watcher::start(hub, &plan, glue, start).map(Source::Here).map(Changes::of)),
            Err(client) => Answer::pending(async move {
                client::Watch::begin(client, plan, start).await.map(Source::There).map(Changes::of)
            }),
        }
    }
}

impl<R: Record> fmt::Debug for Watch<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("record", &R::NAME).field("starts", &self.starts).finish_non_exhaustive()
    }
}

/// A running watch: a stream of changes. Dropping it ends it.
///
/// A reader that is slow costs nobody else anything: the next thousand changes, or a mebibyte of them, wait in memory, and
/// the rest on disk for as long as they are kept (64 MiB of changes).
pub struct Changes<R: Record> {
    source: Source,
    record: PhantomData<fn() -> R>,
}

/// Who is asked for the next change.
#[derive(Debug)]
enum Source {
    Here(Watcher),
    There(client::Watch),
}

impl Source {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        match self {
            Source::Here(watcher) => watcher.poll_next(cx),
            Source::There(watch) => watch.poll_next(cx),
        }
    }
}

impl<R: Record> Changes<R> {
    fn of(source: Source) -> Self {
        Changes { source, record: PhantomData }
    }

    /// The next change; waits for one. `None` when the node has stopped.
    ///
    /// May be dropped before it is ready, as in `select!`, and nothing is lost.
    ///
    /// # Errors
    /// Each is yielded once. [`Error::Lagged`]: changes were missed, and the watch goes on behind them.
    /// [`Error::Codec`]: a record cannot be read back, the next change can. Any other one is the end:
    /// [`Error::Storage`] when the node has failed.
    pub async fn next(&mut self) -> Option<Result<Change<R>>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Change<R>>>> {
        self.source.poll_next(cx).map(|item| item.map(|event| event.and_then(|event| Change::of(&event))))
    }
}

impl<R: Record> Stream for Changes<R> {
    type Item = Result<Change<R>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl<R: Record> fmt::Debug for Changes<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("record", &R::NAME).field("source", &self.source).finish()
    }
}
