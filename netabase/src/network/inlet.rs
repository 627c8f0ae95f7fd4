//! A peer's requests of one channel on one connection: read, handed to the node, answered.
//!
//! What must hold: a peer has at most `UNANSWERED_MAX` requests with us on a channel, over all its
//! substreams, and beyond that, or while the node is behind, or while it sends too fast, it is not read; answers are written
//! always, and who takes nothing of them for too long is cut off.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    allowance::Allowance,
    codec::{Frame, FrameError, Kind},
    directory::Directory,
    gate::Pass,
    handle::Transport,
    inbound::{Answer, Inbound, NetworkEvent, Reply, ReplyPath},
    limits::{FRAMES_A_TURN, UNANSWERED_MAX},
    protocol::{Channel, REFUSAL_BYTES_MAX},
    refused::Reason,
    substream::{Substream, SubstreamError},
};

/// Where requests go, and who sends them.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) peer: PeerId,
    pub(super) channel: Channel,
    pub(super) payload_bytes_max: usize,
    pub(super) allowance: Arc<Allowance>,
    pub(super) directory: Arc<Directory>,
    pub(super) events: mpsc::Sender<NetworkEvent>,
}

pub(super) struct Inlet<S> {
    source: Source,
    substream: Substream<S>,
    answers: mpsc::Receiver<(Frame, Pass)>,
    answer: mpsc::Sender<(Frame, Pass)>,
    /// A request that was read and waits at the gate, and whether it waited for its turn before.
    waiting: Option<Frame>,
    on_time: bool,
    pause: Option<Pin<Box<Sleep>>>,
    patience: Patience,
    /// A request that waits for a place in the node's queue.
    admitted: Option<Inbound>,
    delivery: Delivery,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inlet<S> {
    pub(super) fn new(stream: S, source: Source) -> Self {
        // Every answer holds a pass, and the gate gives no more than that: there is always room.
        let (answer, answers) = mpsc::channel(UNANSWERED_MAX);
        let substream = Substream::new(stream, source.payload_bytes_max);
        Inlet {
            source,
            substream,
            answers,
            answer,
            waiting: None,
            on_time: false,
            pause: None,
            patience: Patience::default(),
            admitted: None,
            delivery: Delivery::default(),
        }
    }

    /// Ready only when the substream is of no more use.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SubstreamError> {
        let written =
            self.substream.poll_write(cx, |cx| self.answers.poll_recv(cx).map(|next| next.map(|(frame, _pass)| frame)));
        match written {
            Poll::Ready(Err(error)) => return Poll::Ready(error),
            Poll::Ready(Ok(())) => self.patience.rest(),
            Poll::Pending => {
                let timeout = self.source.directory.limits().slow_reader_timeout;
                if self.patience.poll_lost(self.substream.written(), timeout, cx).is_ready() {
                    return Poll::Ready(SubstreamError::Unread);
                }
            }
        }
        for _ in 0..FRAMES_A_TURN {
            match ready!(self.poll_request(cx)) {
                Ok(()) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands one request to the node.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SubstreamError>> {
        if self.admitted.is_none() {
            self.admitted = Some(ready!(self.poll_admitted(cx))?);
        }
        let events = self.source.directory.door().choose(self.source.channel, &self.source.events);
        let permit = ready!(self.delivery.poll_permit(events, cx))?;
        if let Some(request) = self.admitted.take() {
            permit.send(NetworkEvent::Request(request));
        }
        Poll::Ready(Ok(()))
    }

    /// Reads one request and lets it through the gate.
    fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<Result<Inbound, SubstreamError>> {
        let frame = match self.waiting.take() {
            Some(frame) => frame,
            None => {
                self.on_time = false;
                ready!(self.substream.poll_read(cx))?
            }
        };
        if frame.kind != Kind::Request {
            return Poll::Ready(Err(FrameError::Misplaced(frame.kind).into()));
        }
        if self.poll_turn(cx).is_pending() {
            self.waiting = Some(frame);
            return Poll::Pending;
        }
        let gate = &self.source.allowance.gates[self.source.channel.index()];
        let Poll::Ready(pass) = gate.poll_enter(frame.payload.len(), cx) else {
            self.waiting = Some(frame);
            return Poll::Pending;
        };
        let reply = Reply::new(Return {
            id: frame.id,
            payload_bytes_max: self.source.payload_bytes_max,
            pass,
            answers: self.answer.clone(),
        });
        let Source { peer: from, channel, .. } = self.source;
        Poll::Ready(Ok(Inbound { from, channel, payload: frame.payload, reply }))
    }
}

impl<S> Inlet<S> {
    /// Whether the request that was read is on time: not too soon after those before it.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.on_time {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
            }
            match self.source.allowance.take_request(Instant::now()) {
                Ok(()) => (self.on_time, self.pause) = (true, None),
                Err(due) => {
                    if self.pause.is_none() {
                        self.source.directory.refusals().count(Reason::TooFast);
                    }
                    self.pause = Some(Box::pin(sleep_until(due)));
                }
            }
        }
        Poll::Ready(())
    }
}

/// With a peer that reads nothing.
#[derive(Default)]
struct Patience {
    /// Until when, unless more than this was written by then.
    waiting: Option<(u64, Instant)>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Everything is written.
    fn rest(&mut self) {
        self.waiting = None;
    }

    /// Ready when it is over.
    fn poll_lost(&mut self, written: u64, timeout: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = match self.waiting {
            Some((before, deadline)) if before == written => deadline,
            _ => {
                let deadline = Instant::now() + timeout;
                self.waiting = Some((written, deadline));
                deadline
            }
        };
        // Set anew only when it rings: what is written a little at a time sets no alarm each time.
        loop {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            ready!(alarm.as_mut().poll(cx));
            self.alarm = None;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}

impl<S> fmt::Debug for Inlet<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").field("source", &self.source).finish_non_exhaustive()
    }
}

type Permit = mpsc::OwnedPermit<NetworkEvent>;
type Reserving = Pin<Box<dyn Future<Output = Result<Permit, mpsc::error::SendError<()>>> + Send>>;

/// Waits for a place in the node's queue: first come, first served among all substreams.
#[derive(Default)]
struct Delivery(Option<Reserving>);

impl Delivery {
    fn poll_permit(
        &mut self,
        events: &mpsc::Sender<NetworkEvent>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit, SubstreamError>> {
        let reserving = match &mut self.0 {
            Some(reserving) => reserving,
            None => match events.clone().try_reserve_owned() {
                Ok(permit) => return Poll::Ready(Ok(permit)),
                Err(error) => self.0.insert(Box::pin(error.into_inner().reserve_owned())),
            },
        };
        let reserved = ready!(reserving.as_mut().poll(cx));
        self.0 = None;
        // An error: the node is gone, and the network will be in a moment.
        Poll::Ready(reserved.map_err(|_| SubstreamError::Closed))
    }
}

/// The way back of one request.
struct Return {
    id: u64,
    payload_bytes_max: usize,
    pass: Pass,
    answers: mpsc::Sender<(Frame, Pass)>,
}

impl ReplyPath for Return {
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.pass.poll_room(cx)
    }

    fn leave(self: Box<Self>, answer: Answer) {
        let Return { id, payload_bytes_max, mut pass, answers } = *self;
        let (kind, payload) = match answer {
            Answer::Response(payload) if payload.len() <= payload_bytes_max => (Kind::Response, payload),
            Answer::Response(payload) => {
                let bytes = payload.len();
                tracing::error!(bytes, payload_bytes_max, "an answer is larger than its channel carries");
                (Kind::Refused, refusal(format!("the answer of {bytes} bytes is larger than {payload_bytes_max}")))
            }
            Answer::Refused(reason) => (Kind::Refused, refusal(reason)),
        };
        pass.resize(payload.len());
        // Closed: the connection is gone, and the requester knows. Full cannot be, see `Inlet::new`.
        let _ = answers.try_send((Frame { id, kind, payload }, pass));
    }
}

fn refusal(mut reason: String) -> Bytes {
    let mut bytes = reason.len().min(REFUSAL_BYTES_MAX);
    while !reason.is_char_boundary(bytes) {
        bytes -= 1;
    }
    reason.truncate(bytes);
    reason.into()
}
