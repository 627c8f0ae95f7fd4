//! Our requests of one channel on one connection: the queue, the substream, what awaits its answer.
//!
//! What must hold: each request's sender is used or dropped, so that no requester is left behind; the
//! table of awaited answers is bounded although most of its entries may have been given up.

use std::{
    collections::HashMap,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    codec::{Frame, FrameError, Kind},
    directory::Outgoing,
    handle::{RequestError, RequestResult},
    limits::{FRAMES_A_TURN, IN_FLIGHT_MAX},
    protocol::Channel,
    substream::{Substream, SubstreamError},
};

/// What the handler is to do for an outlet.
#[derive(Debug)]
pub(super) enum Demand {
    /// Open a substream, then call `on_opened` or `on_refused`.
    Open,
    /// Close the connection.
    Close(FrameError),
}

#[derive(Debug)]
pub(super) struct Outlet<S> {
    channel: Channel,
    payload_bytes_max: usize,
    queue: mpsc::Receiver<Outgoing>,
    state: State<S>,
    awaited: Awaited,
}

#[derive(Debug)]
enum State<S> {
    /// Nothing to send so far, or the substream failed: the next request opens one.
    Closed,
    /// Requested, on behalf of the first request.
    Opening(Option<Outgoing>),
    Open {
        substream: Substream<S>,
        first: Option<Outgoing>,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outlet<S> {
    pub(super) fn new(channel: Channel, payload_bytes_max: usize, queue: mpsc::Receiver<Outgoing>) -> Self {
        Outlet { channel, payload_bytes_max, queue, state: State::Closed, awaited: Awaited::default() }
    }

    pub(super) fn on_opened(&mut self, stream: S) {
        let first = match &mut self.state {
            State::Opening(first) => first.take(),
            State::Closed | State::Open { .. } => None,
        };
        self.state = State::Open { substream: Substream::new(stream, self.payload_bytes_max), first };
    }

    /// No substream could be opened; the reason goes to all that wait for it.
    pub(super) fn on_refused(&mut self, error: &RequestError) {
        if let State::Opening(Some(first)) = std::mem::replace(&mut self.state, State::Closed) {
            let _ = first.requester.send(Err(error.clone()));
        }
        while let Ok(outgoing) = self.queue.try_recv() {
            let _ = outgoing.requester.send(Err(error.clone()));
        }
    }

    /// Takes in answers, sends requests.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Demand> {
        let State::Open { substream, first } = &mut self.state else {
            return self.poll_demand(cx);
        };
        let error = match self.awaited.poll_read(substream, cx) {
            Poll::Ready(error) => error,
            Poll::Pending => {
                let written = substream.poll_write(cx, |cx| {
                    loop {
                        let outgoing = match first.take() {
                            Some(first) => Some(first),
                            None => std::task::ready!(self.queue.poll_recv(cx)),
                        };
                        let Some(outgoing) = outgoing else {
                            return Poll::Ready(None);
                        };
                        if let Some(frame) = self.awaited.enlist(outgoing) {
                            return Poll::Ready(Some(frame));
                        }
                    }
                });
                match written {
                    Poll::Ready(Err(error)) => error,
                    Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
                }
            }
        };
        tracing::debug!(channel = ?self.channel, %error, "a substream for requests ended");
        // What is queued goes down with it: if it stayed, a peer that closes every substream at once
        // would have us open new ones in a loop.
        self.close();
        match error {
            SubstreamError::Violation(error) => Poll::Ready(Demand::Close(error)),
            SubstreamError::Io(_) | SubstreamError::Closed | SubstreamError::Unread => self.poll_demand(cx),
        }
    }

    /// Opens a substream for the first request that comes.
    fn poll_demand(&mut self, cx: &mut Context<'_>) -> Poll<Demand> {
        if matches!(self.state, State::Closed)
            && let Poll::Ready(Some(first)) = self.queue.poll_recv(cx)
        {
            self.state = State::Opening(Some(first));
            return Poll::Ready(Demand::Open);
        }
        Poll::Pending
    }

    /// All that is queued or awaited ends in `ConnectionLost`.
    fn close(&mut self) {
        self.state = State::Closed;
        self.awaited = Awaited::default();
        while self.queue.try_recv().is_ok() {}
    }

    /// Accepts nothing more, so that the handle sees at once that the connection is gone.
    pub(super) fn shut(&mut self) {
        self.queue.close();
        self.close();
    }
}

/// Requests that left and have no answer yet, by correlation id.
#[derive(Debug, Default)]
struct Awaited {
    requesters: HashMap<u64, oneshot::Sender<RequestResult>>,
    last_id: u64,
    /// The size at which entries whose requester has given up are cleared out.
    sweep_at: usize,
}

impl Awaited {
    const SWEEP_MIN: usize = 256;

    /// The frame of a request, unless its time is over or too many are in flight.
    fn enlist(&mut self, outgoing: Outgoing) -> Option<Frame> {
        let Outgoing { payload, deadline, requester, .. } = outgoing;
        if deadline <= Instant::now() {
            let _ = requester.send(Err(RequestError::Timeout));
            return None;
        }
        if self.requesters.len() >= self.sweep_at {
            self.requesters.retain(|_, requester| !requester.is_closed());
            self.sweep_at = (2 * self.requesters.len()).clamp(Self::SWEEP_MIN, IN_FLIGHT_MAX);
        }
        if self.requesters.len() >= IN_FLIGHT_MAX {
            let _ = requester.send(Err(RequestError::QueueFull));
            return None;
        }
        self.last_id += 1;
        self.requesters.insert(self.last_id, requester);
        Some(Frame { id: self.last_id, kind: Kind::Request, payload })
    }

    /// Ready only with the error that ends the substream.
    fn poll_read<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        substream: &mut Substream<S>,
        cx: &mut Context<'_>,
    ) -> Poll<SubstreamError> {
        for _ in 0..FRAMES_A_TURN {
            match substream.poll_read(cx) {
                Poll::Ready(Ok(frame)) => {
                    if let Err(error) = self.on_answer(frame) {
                        return Poll::Ready(error.into());
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Unknown ids are ignored: answers that come twice, or after their requester's time.
    fn on_answer(&mut self, frame: Frame) -> Result<(), FrameError> {
        let Frame { id, kind, payload } = frame;
        let result = match kind {
            Kind::Response => Ok(payload),
            Kind::Refused => Err(RequestError::Refused(String::from_utf8_lossy(&payload).into_owned())),
            Kind::Request => return Err(FrameError::Misplaced(kind)),
        };
        if let Some(requester) = self.requesters.remove(&id) {
            let _ = requester.send(result);
        }
        Ok(())
    }
}
