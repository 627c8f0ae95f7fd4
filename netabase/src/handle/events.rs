//! `Events`: what happens to a node and its cluster, as a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

use super::Netabase;
use super::origin::Origin;
use crate::event::{Read, Reader};
use crate::node::Event;
use crate::schema::Schema;

/// What happens to a node and its cluster from the moment it was asked for. Made by [`Netabase::events`].
///
/// A reader that is slow keeps the newest few hundred events, is told by [`Event::Missed`] how many it missed, and slows
/// nobody. A `Stream`, too. It does not keep the node running.
#[must_use = "events are there to be read"]
pub struct Events(Reader<Event>);

impl<S: Schema> Netabase<S> {
    /// What happens from now on: peers that come and go, who leads, who votes, whether this node lags, who was refused,
    /// the disk. It ends when the node stops. A client tells of the member that it asks, and who leads.
    ///
    /// To know how things stand as well, ask for the events first and for [`Netabase::status`] then.
    ///
    /// ```
    /// use netabase::{Event, prelude::*};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> netabase::Result<()> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// let db = Netabase::<Account>::start().data_dir(directory.path()).await?;
    /// let mut events = db.events();
    /// let watching = tokio::spawn(async move {
    ///     while let Some(event) = events.next().await {
    ///         if let Event::LeaderChanged { leader: None } = event {
    ///             println!("nobody leads: writes wait");
    ///         }
    ///     }
    /// });
    /// db.shutdown().await?;
    /// watching.await.expect("it ends with the node");
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        Events(match &self.origin {
            Origin::Here(node) => node.board.read(),
            Origin::There(client) => client.shared.board.read(),
        })
    }
}

impl Events {
    /// The next event; waits for one. `None` when the node has stopped.
    ///
    /// May be dropped before it is ready, as in `select!`, and nothing is lost.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(cx).map(|read| {
            read.map(|read| match read {
                Read::News(event) => event,
                Read::Missed(events) => Event::Missed { events },
            })
        })
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
