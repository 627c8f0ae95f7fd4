//! The way of a read into the member: bounded, and answered once.
//!
//! Must hold: whoever waits is answered, by the member or by its end. Used by the node on behalf of the handle.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::READERS_MAX;
use crate::error::{Error, Result};
use crate::network::Reply;

/// Who waits for a read index.
#[derive(Debug)]
pub(crate) enum Reader {
    /// A read of this node's handle, until then at most.
    Here { answer: oneshot::Sender<Result<()>>, until: Instant },
    /// A follower, on behalf of its readers.
    There(Reply),
}

impl Reader {
    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        match self {
            Reader::Here { answer, until } => *until <= now || answer.is_closed(),
            Reader::There(_) => false,
        }
    }
}

/// Takes readers to the member. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ReadQueue {
    readers: mpsc::Sender<Reader>,
    timeout: Duration,
}

impl ReadQueue {
    /// A queue whose readers wait so long at most, and its end for the member.
    pub(crate) fn new(timeout: Duration) -> (Self, mpsc::Receiver<Reader>) {
        let (readers, queued) = mpsc::channel(READERS_MAX);
        (ReadQueue { readers, timeout }, queued)
    }

    /// Resolves when what is read here from then on holds every write that was acknowledged anywhere before the call;
    /// `None` when the member has ended.
    pub(crate) async fn wait(&self) -> Option<Result<()>> {
        let (answer, answered) = oneshot::channel();
        match self.readers.try_send(Reader::Here { answer, until: Instant::now() + self.timeout }) {
            Ok(()) => answered.await.ok(),
            Err(TrySendError::Full(_)) => Some(Err(Error::Overloaded { limit: READERS_MAX })),
            Err(TrySendError::Closed(_)) => None,
        }
    }
}
