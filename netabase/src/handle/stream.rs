//! `Records`: a query read page by page, however long it is.
//!
//! Must hold: no view is held between pages, since the store's file keeps all that a view shows; a page goes on exactly
//! behind the last row of the one before, by that row's place and not by the record, which may be gone.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;

use super::Netabase;
use crate::error::Result;
use crate::node::Node;
use crate::schema::{After, Member, Plan, Query, Record, Schema};
use crate::store::{Row, Selecting};

/// What a page holds at most; of larger records one at least.
const PAGE_ROWS: usize = 256;
const PAGE_BYTES: usize = 1 << 20;

/// The records that a query selects, one after the other. Made by [`Netabase::stream`].
///
/// Ends after the first error. A `Stream`, too.
#[must_use = "a stream reads nothing until it is asked for the next record"]
pub struct Records<R: Record> {
    node: Arc<Node>,
    plan: Plan,
    /// How many records the query may still give, beyond those in `page`.
    left: usize,
    page: VecDeque<Row>,
    /// There is nothing behind `page`.
    ended: bool,
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
        let left = plan.limit.unwrap_or(usize::MAX);
        Records { node, plan, left, page: VecDeque::new(), ended: false, record: PhantomData }
    }

    /// The next record; `None` when there is none.
    ///
    /// # Errors
    /// As [`Netabase::query`].
    pub async fn next(&mut self) -> Option<Result<R>> {
        self.take()
    }

    fn take(&mut self) -> Option<Result<R>> {
        if self.page.is_empty()
            && !self.ended
            && let Err(error) = self.turn()
        {
            self.ended = true;
            return Some(Err(error));
        }
        let record = R::__decode(&self.page.pop_front()?.value);
        if record.is_err() {
            self.ended = true;
            self.page.clear();
        }
        Some(record)
    }

    /// Reads the next page.
    fn turn(&mut self) -> Result<()> {
        let rows_max = self.left.min(PAGE_ROWS);
        self.plan.limit = Some(rows_max);
        let view = self.node.view()?;
        let mut bytes = 0;
        for row in view.select(&self.plan, &R::__GLUE)? {
            let row = row?;
            bytes += row.value.len();
            self.page.push_back(row);
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        self.left -= self.page.len();
        self.ended = self.left == 0 || (self.page.len() < rows_max && bytes < PAGE_BYTES);
        if let Some(last) = self.page.back() {
            let key = last.key.to_vec();
            self.plan.after = Some(match &last.index_key {
                None => After::Key(key),
                Some(index_key) => After::Row { index_key: index_key.to_vec(), key },
            });
        }
        Ok(())
    }
}

impl<R: Record> Stream for Records<R> {
    type Item = Result<R>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.take())
    }
}

impl<R: Record> fmt::Debug for Records<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("record", &R::NAME).field("ended", &self.ended).finish_non_exhaustive()
    }
}
