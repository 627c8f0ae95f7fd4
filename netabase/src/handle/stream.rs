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
use std::task::{Context, Poll};

use futures::Stream;

use super::Netabase;
use crate::error::Result;
use crate::node::Node;
use crate::schema::{Member, Plan, Query, Record, Schema};
use crate::storage::{Pages, Row};

/// The records that a query selects, one after the other. Made by [`Netabase::stream`].
///
/// Ends after the first error. A `Stream`, too.
#[must_use = "a stream reads nothing until it is asked for the next record"]
pub struct Records<R: Record> {
    node: Arc<Node>,
    pages: Pages,
    page: VecDeque<Result<Row>>,
    /// The other tasks had their turn since `page` was read.
    yielded: bool,
    record: PhantomData<fn() -> R>,
}

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
        Records::new(Arc::clone(&self.node), query.plan::<S>())
    }
}

impl<R: Record> Records<R> {
    pub(super) fn new(node: Arc<Node>, plan: Plan) -> Self {
        Records { node, pages: Pages::of(plan), page: VecDeque::new(), yielded: true, record: PhantomData }
    }

    /// The next record; `None` when there is none. Dropping the future loses none.
    ///
    /// # Errors
    /// As [`Netabase::query`].
    pub async fn next(&mut self) -> Option<Result<R>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Reads the next page.
    fn turn(&mut self) {
        self.page = match self.node.view() {
            Ok(view) => self.pages.read(&view, &R::__GLUE),
            Err(error) => {
                self.pages.end();
                VecDeque::from([Err(error)])
            }
        };
    }
}

impl<R: Record> Stream for Records<R> {
    type Item = Result<R>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.page.is_empty() && !self.pages.have_ended() {
            // Nothing else in here waits: a loop over a long stream would keep a thread of the runtime to itself.
            if !self.yielded {
                self.yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.turn();
            self.yielded = false;
        }
        let record = self.page.pop_front().map(|row| R::__decode(&row?.value));
        if let Some(Err(_)) = record {
            self.pages.end();
            self.page.clear();
        }
        Poll::Ready(record)
    }
}

impl<R: Record> fmt::Debug for Records<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("record", &R::NAME)
            .field("ended", &self.pages.have_ended())
            .finish_non_exhaustive()
    }
}
