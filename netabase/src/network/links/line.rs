//! One TCP stream that waits where a cut line would make it wait.
//!
//! Must hold: whoever finds the way closed is woken by the next change of it, so wakers are left before the way is looked at.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures::{AsyncRead, AsyncWrite, task::AtomicWaker};
use libp2p::{PeerId, tcp::tokio::TcpStream};
use tokio::time::{Instant, Sleep};

use super::{Links, Passage};

/// Bytes that a delay holds at a time; beyond it the sender waits, as for a full window.
const LATE_BYTES_MAX: usize = 4 << 20;
/// Bytes that share one delay, at most.
const CHUNK_BYTES: usize = 16 << 10;

/// Who waits at a stream.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wakers {
    pub(super) fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }
}

/// The stream, at one of its ends.
pub(super) struct Line {
    stream: TcpStream,
    links: Links,
    me: PeerId,
    /// Whom this side has dialled. The side that was dialled does not know yet, and only delays.
    peer: Option<PeerId>,
    wakers: Arc<Wakers>,
    /// What was read and is not to arrive before its time; an end and an error come last, and stay.
    late: VecDeque<(Instant, Result<Bytes, io::ErrorKind>)>,
    late_bytes: usize,
    /// Nothing comes after what is late.
    ended: bool,
    alarm: Pin<Box<Sleep>>,
}

impl Line {
    pub(super) fn new(stream: TcpStream, links: Links, me: PeerId, peer: Option<PeerId>) -> Self {
        let wakers = Arc::default();
        let mut state = links.lock();
        state.waiting.retain(|wakers| wakers.strong_count() > 0);
        state.waiting.push(Arc::downgrade(&wakers));
        drop(state);
        let alarm = Box::pin(tokio::time::sleep_until(Instant::now()));
        Line { stream, links, me, peer, wakers, late: VecDeque::new(), late_bytes: 0, ended: false, alarm }
    }

    fn inwards(&self) -> Passage {
        let peer = self.peer.unwrap_or(self.me);
        self.links.passage(self.me, peer, self.me)
    }

    fn outwards(&self) -> Passage {
        let peer = self.peer.unwrap_or(self.me);
        self.links.passage(self.me, self.me, peer)
    }

    /// Whether bytes may leave now.
    fn poll_outwards(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.wakers.writer.register(cx.waker());
        through(self.outwards())
    }

    /// Takes in what has come, to be late.
    fn take_in(&mut self, cx: &mut Context<'_>) {
        let mut chunk = [0; CHUNK_BYTES];
        while !self.ended && self.late_bytes < LATE_BYTES_MAX {
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut chunk) else { break };
            let piece = read.map(|read| Bytes::copy_from_slice(&chunk[..read])).map_err(|error| error.kind());
            self.ended = piece.as_ref().map_or(true, Bytes::is_empty);
            self.late_bytes += piece.as_ref().map_or(0, Bytes::len);
            let due = Instant::now() + self.links.draw_delay();
            let due = self.late.back().map_or(due, |(last, _)| due.max(*last));
            self.late.push_back((due, piece));
        }
    }

    /// What is due of what is late.
    fn poll_late(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.take_in(cx);
        let Some((due, piece)) = self.late.front_mut() else { return Poll::Pending };
        if *due > Instant::now() {
            self.alarm.as_mut().reset(*due);
            ready!(self.alarm.as_mut().poll(cx));
        }
        let bytes = match piece {
            Ok(bytes) => bytes,
            Err(kind) => return Poll::Ready(Err((*kind).into())),
        };
        let read = bytes.len().min(buffer.len());
        bytes.copy_to_slice(&mut buffer[..read]);
        // The empty piece stays: the end is the end, however often it is read.
        if bytes.is_empty() && !(self.ended && self.late.len() == 1) {
            self.late.pop_front();
        }
        self.late_bytes -= read;
        Poll::Ready(Ok(read))
    }
}

fn through(passage: Passage) -> Poll<io::Result<()>> {
    match passage {
        Passage::Open => Poll::Ready(Ok(())),
        Passage::Held => Poll::Pending,
        Passage::Closed => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.wakers.reader.register(cx.waker());
        ready!(through(self.inwards()))?;
        if self.late.is_empty() && !self.links.delays() {
            Pin::new(&mut self.stream).poll_read(cx, buffer)
        } else {
            self.poll_late(cx, buffer)
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_outwards(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_outwards(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The news that it is closed does not get through either.
        ready!(self.poll_outwards(cx))?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
