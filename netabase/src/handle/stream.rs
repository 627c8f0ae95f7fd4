//! `Records`: a query read page by page, however long it is.
//!
//! Must hold: no view is held between pages, since the store's file keeps all that a view shows; between two pages the
//! runtime's other tasks have their turn.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;

use super::Netabase;
use super::origin::{Origin, at};
use crate::client::{Shared, rest};
use crate::error::Result;
use crate::node::Node;
use crate::schema::{Member, Plan, Query, Record, RecordGlue, Schema};
use crate::storage::Pages;

/// The records that a query selects, one after the other. Made by [`Netabase::stream`].
///
/// Ends after the first error. A `Stream`, too.
#[must_use = "a stream reads nothing until it is asked for the next record"]
pub struct Records<R: Record> {
    source: Source,
    page: VecDeque<Result<Bytes>>,
    record: PhantomData<fn() -> R>,
}

/// Where the pages come from.
enum Source {
    Here {
        node: Arc<Node>,
        pages: Pages,
        /// The other tasks had their turn since the last page was read.
        yielded: bool,
    },
    There {
        client: Arc<Shared>,
        /// What is left to read; none once it is over.
        plan: Option<Plan>,
        asking: Option<Asking>,
    },
}

/// A page on its way, and what is left behind it.
type Asking = BoxFuture<'static, Result<(VecDeque<Bytes>, Option<Plan>)>>;

impl<S: Schema> Netabase<S> {
    /// The records that a query selects, in its order, in constant memory: read as they are asked for, in pages of at
    /// most 256 records or 1 MiB.
    ///
    /// Each page is as of one moment, the pages are as of different ones: a record that is there all along comes exactly
    /// once, unless its place in the order changes meanwhile; one that is written or removed meanwhile may come or not.
    ///
    /// ```
    /// # use netabase::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> netabase::Result<()> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// # let db = Netabase::<Account>::start().data_dir(directory.path()).await?;
    /// db.put_records((0..1_000).map(|id| Account { id })).await?;
    /// let mut accounts = db.stream(Account::range(10..).reverse());
    /// let mut count = 0;
    /// while let Some(account) = accounts.next().await {
    ///     assert_eq!(account?.id, 999 - count);
    ///     count += 1;
    /// }
    /// assert_eq!(count, 990);
    /// # db.shutdown().await
    /// # }
    /// ```
    pub fn stream<R: Member<S>>(&self, query: Query<R>) -> Records<R> {
        Records::new(&self.origin, query.plan::<S>())
    }
}

impl<R: Record> Records<R> {
    pub(super) fn new(origin: &Origin, plan: Plan) -> Self {
        let source = match origin {
            Origin::Here(node) => Source::Here { node: Arc::clone(node), pages: Pages::of(plan), yielded: true },
            Origin::There(client) => Source::There { client: at(client), plan: Some(plan), asking: None },
        };
        Records { source, page: VecDeque::new(), record: PhantomData }
    }

    /// The next record; `None` when there is none. Dropping the future loses none.
    ///
    /// # Errors
    /// As [`Netabase::query`].
    pub async fn next(&mut self) -> Option<Result<R>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Source {
    /// The next page; none once there is no other.
    fn poll_page(&mut self, glue: &RecordGlue, cx: &mut Context<'_>) -> Poll<Option<VecDeque<Result<Bytes>>>> {
        match self {
            Source::Here { pages, .. } if pages.have_ended() => Poll::Ready(None),
            Source::Here { node, pages, yielded } => {
                // Nothing else in here waits: a loop over a long stream would keep a thread of the runtime to itself.
                if !std::mem::replace(yielded, true) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                *yielded = false;
                Poll::Ready(Some(match node.view() {
                    Ok(view) => {
                        let rows = pages.read(&view, glue);
                        rows.into_iter().map(|row| row.map(|row| row.value)).collect()
                    }
                    Err(error) => VecDeque::from([Err(error)]),
                }))
            }
            Source::There { client, plan, asking } => {
                let under_way = match asking {
                    Some(under_way) => under_way,
                    None => {
                        let Some(plan) = plan.take() else { return Poll::Ready(None) };
                        asking.insert(Box::pin(page(Arc::clone(client), plan)))
                    }
                };
                let answer = ready!(under_way.as_mut().poll(cx));
                *asking = None;
                Poll::Ready(Some(match answer {
                    Ok((values, left)) => {
                        *plan = left;
                        values.into_iter().map(Ok).collect()
                    }
                    Err(error) => VecDeque::from([Err(error)]),
                }))
            }
        }
    }

    /// There is to be no other page.
    fn end(&mut self) {
        match self {
            Source::Here { pages, .. } => pages.end(),
            Source::There { plan, asking, .. } => (*plan, *asking) = (None, None),
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Source::Here { pages, .. } => pages.have_ended(),
            Source::There { plan, asking, .. } => plan.is_none() && asking.is_none(),
        }
    }
}

async fn page(client: Arc<Shared>, plan: Plan) -> Result<(VecDeque<Bytes>, Option<Plan>)> {
    let (values, next) = client.page(plan.clone()).await?;
    let left = next.is_some().then(|| rest(plan, values.len(), &next));
    Ok((values, left))
}

impl<R: Record> Stream for Records<R> {
    type Item = Result<R>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // One may be empty: nothing in it is shown.
        while self.page.is_empty() {
            match ready!(self.source.poll_page(&R::__GLUE, cx)) {
                Some(page) => self.page = page,
                None => return Poll::Ready(None),
            }
        }
        let record = self.page.pop_front().map(|value| R::__decode(&value?));
        if let Some(Err(_)) = record {
            self.source.end();
            self.page.clear();
        }
        Poll::Ready(record)
    }
}

impl<R: Record> fmt::Debug for Records<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("record", &R::NAME)
            .field("ended", &self.source.has_ended())
            .finish_non_exhaustive()
    }
}
