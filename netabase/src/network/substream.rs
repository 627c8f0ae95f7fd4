//! One substream and its codec: frames in, frames out, gathered writes, one flush for all of them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};

use super::codec::{Frame, FrameError, PaxosCodec};

/// Why a substream is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SubstreamError {
    /// The connection goes too.
    #[error(transparent)]
    Violation(#[from] FrameError),
    #[error("the substream failed: {0}")]
    Io(#[from] io::Error),
    #[error("the peer closed the substream")]
    Closed,
    /// The connection goes too.
    #[error("the peer reads nothing")]
    Unread,
}

#[derive(Debug)]
pub(super) struct Substream<S> {
    stream: S,
    codec: PaxosCodec,
    /// Something was written and not flushed.
    unflushed: bool,
    /// Bytes written so far.
    written: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Substream<S> {
    pub(super) fn new(stream: S, payload_bytes_max: usize) -> Self {
        Substream { stream, codec: PaxosCodec::new(payload_bytes_max), unflushed: false, written: 0 }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, SubstreamError>> {
        loop {
            if let Some(frame) = self.codec.decode()? {
                return Poll::Ready(Ok(frame));
            }
            match ready!(Pin::new(&mut self.stream).poll_read(cx, self.codec.room()))? {
                0 if self.codec.is_within_frame() => {
                    return Poll::Ready(Err(FrameError::Truncated.into()));
                }
                0 => return Poll::Ready(Err(SubstreamError::Closed)),
                bytes => self.codec.filled(bytes),
            }
        }
    }

    /// How many bytes were written so far: whether the peer reads.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes all that `next` has to give, gathered, then flushes once. `next` is called only when there
    /// is room, and says `Pending` after it has arranged to be woken, or `None` when it is at its end.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Frame>>,
    ) -> Poll<Result<(), SubstreamError>> {
        loop {
            while self.codec.has_room()
                && let Poll::Ready(Some(frame)) = next(cx)
            {
                self.codec.encode(frame);
            }
            if self.codec.unwritten().is_empty() {
                break;
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, self.codec.unwritten()))?;
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            self.codec.wrote(written);
            self.written += written as u64;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
