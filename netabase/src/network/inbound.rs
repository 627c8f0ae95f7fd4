//! What the network hands to the node: requests to answer, and peers that come and go.

use std::{
    future::poll_fn,
    sync::OnceLock,
    task::{Context, Poll},
};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::protocol::Channel;

/// One queue of these, bounded, goes to the node.
///
/// `Connected` and `Disconnected` alternate for each peer, beginning with `Connected`. They come
/// from another task than the requests, so a peer's first request may precede its `Connected`; a
/// short interruption that ended before the node looked may not show at all.
#[derive(Debug)]
pub(crate) enum NetworkEvent {
    Request(Inbound),
    Connected(PeerId),
    Disconnected(PeerId),
}

/// The way in for requests of clients, past the queue of the consensus, once the node serves them.
#[derive(Debug, Default)]
pub(crate) struct Door(OnceLock<mpsc::Sender<NetworkEvent>>);

impl Door {
    /// From now on requests of clients go there.
    pub(crate) fn open(&self, desk: mpsc::Sender<NetworkEvent>) {
        // A node opens its door once.
        let _ = self.0.set(desk);
    }

    /// Where a request of this channel goes.
    pub(crate) fn choose<'a>(
        &'a self,
        channel: Channel,
        others: &'a mpsc::Sender<NetworkEvent>,
    ) -> &'a mpsc::Sender<NetworkEvent> {
        self.0.get().filter(|_| channel == Channel::Client).unwrap_or(others)
    }
}

/// A request of a peer that is allowed to send one. The payload is at most what its channel allows.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) from: PeerId,
    pub(crate) channel: Channel,
    pub(crate) payload: Bytes,
    pub(crate) reply: Reply,
}

/// How an answer leaves: given by the transport, called once at most, must not block.
pub(crate) trait ReplyPath: Send {
    fn leave(self: Box<Self>, answer: Answer);

    /// Ready while what waits to be taken by the requester is within its bounds.
    fn poll_room(&self, _cx: &Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// What goes back to the requester.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Response(Bytes),
    Refused(String),
}

/// The right to answer one request. Dropped unused it refuses, so no requester waits in vain for a
/// node that lost its request.
pub(crate) struct Reply {
    path: Option<Box<dyn ReplyPath>>,
}

impl Reply {
    pub(crate) fn new(path: impl ReplyPath + 'static) -> Self {
        Reply { path: Some(Box::new(path)) }
    }

    /// Waits until the requester has taken what it was answered before, as far as that is too much.
    pub(crate) async fn room(&self) {
        poll_fn(|cx| self.path.as_ref().map_or(Poll::Ready(()), |path| path.poll_room(cx))).await;
    }

    /// Answers. Lost silently if the connection is gone, or refused if it is over the channel's limit.
    pub(crate) fn send(mut self, payload: Bytes) {
        self.leave(Answer::Response(payload));
    }

    /// Answers that the request will not be served; the requester gets `RequestError::Refused`.
    pub(crate) fn refuse(mut self, reason: impl Into<String>) {
        self.leave(Answer::Refused(reason.into()));
    }

    fn leave(&mut self, answer: Answer) {
        if let Some(path) = self.path.take() {
            path.leave(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.leave(Answer::Refused("the request was dropped without an answer".into()));
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}
