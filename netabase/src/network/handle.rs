//! The handle through which the node sends: one type over libp2p and over the in-memory fabric.
//!
//! A request is queued when `request` is called, in the order of the calls; the future only waits.
//! It always resolves: by its answer, by the loss of the connection, or by its timeout.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    directory::{Guests, Members},
    inbound::NetworkEvent,
    limits::CLIENT_QUEUE_MAX,
    protocol::Channel,
    refused::{Reason, Refusals},
};

/// Why there is no answer. Only `NotConnected`, `TooLarge` and `QueueFull` say that the peer has not
/// seen the request; after all others it may have been carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("no connection to the peer; nothing was sent")]
    NotConnected,
    #[error("no answer in time; the peer may have carried the request out")]
    Timeout,
    #[error("the connection was lost before the answer; the peer may have carried the request out")]
    ConnectionLost,
    #[error("{bytes} bytes are more than the {bytes_max} that the channel carries; nothing was sent")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the queue to the peer is full; nothing was sent")]
    QueueFull,
    #[error("the peer refused: {0}")]
    Refused(String),
}

pub(crate) type RequestResult = Result<Bytes, RequestError>;

/// What carries requests. Neither call may block.
pub(crate) trait Transport: Send + Sync {
    /// Queues a request. A dropped sender of the returned channel means `ConnectionLost`.
    /// After `deadline` nobody waits any more, and what has not left need not leave.
    fn send(
        &self,
        to: PeerId,
        channel: Channel,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<RequestResult>, RequestError>;
    fn listen_addresses(&self) -> Vec<Multiaddr>;
    fn is_connected(&self, peer: PeerId) -> bool;
    /// What was refused, for whoever refuses something to count it.
    fn refusals(&self) -> &Refusals;
    /// Counts a message of this peer that was of no use; with too many of them, it is read slowly.
    fn blame(&self, peer: &PeerId, reason: Reason);
    /// Requests of clients go there from now on; before, they come with all others.
    fn open_door(&self, desk: mpsc::Sender<NetworkEvent>);
    /// From now on, these are let in, and no others; those with addresses are connected to. All are nodes but the guests.
    fn set_members(&self, members: Members, guests: &Guests);
}

/// Sends requests to peers. Cheap to clone; usable from any thread of a tokio runtime.
#[derive(Clone)]
pub(crate) struct Network {
    peer_id: PeerId,
    transport: Arc<dyn Transport>,
}

impl Network {
    pub(crate) fn new(peer_id: PeerId, transport: Arc<dyn Transport>) -> Self {
        Network { peer_id, transport }
    }

    /// Sends at once, then resolves by `timeout` at the latest. Dropping the future does not take the
    /// request back.
    pub(crate) fn request(
        &self,
        to: PeerId,
        channel: Channel,
        payload: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = RequestResult> + Send + use<> {
        let deadline = Instant::now() + timeout;
        let sent = self.transport.send(to, channel, payload, deadline);
        async move {
            match tokio::time::timeout_at(deadline, sent?).await {
                Ok(Ok(result)) => result,
                Ok(Err(_closed)) => Err(RequestError::ConnectionLost),
                Err(_elapsed) => Err(RequestError::Timeout),
            }
        }
    }

    pub(crate) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// The addresses that are bound, with the ports that were given for 0.
    pub(crate) fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.transport.listen_addresses()
    }

    pub(crate) fn is_connected(&self, peer: PeerId) -> bool {
        self.transport.is_connected(peer)
    }

    /// Requests of clients, on a queue of their own from now on. To be called once.
    pub(crate) fn serve_clients(&self) -> mpsc::Receiver<NetworkEvent> {
        let (desk, requests) = mpsc::channel(CLIENT_QUEUE_MAX);
        self.transport.open_door(desk);
        requests
    }

    /// From now on, these are let in, and no others; those with addresses are connected to. May name this node itself. All are
    /// nodes but the guests.
    pub(crate) fn set_members(&self, mut members: Members, guests: &Guests) {
        members.retain(|(peer, _)| *peer != self.peer_id);
        self.transport.set_members(members, guests);
    }

    /// Counts a message of this peer that was of no use; with too many of them, it is read slowly.
    pub(crate) fn blame(&self, peer: &PeerId, reason: Reason) {
        self.transport.blame(peer, reason);
    }

    /// What was refused since the start.
    pub(crate) fn refusals(&self) -> &Refusals {
        self.transport.refusals()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}
