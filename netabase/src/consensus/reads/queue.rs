//! The way of a read into the member: bounded, and answered once.
//!
//! Must hold: whoever waits is answered, by the member or by its end: nobody gets in once that is over. Used by the node
//! on behalf of the handle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

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
    shared: Arc<Shared>,
    timeout: Duration,
}

/// The member's end of the queue; closes it when dropped.
#[derive(Debug)]
pub(crate) struct ReadInbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `None` once the member has ended.
    readers: Mutex<Option<Vec<Reader>>>,
    came: Notify,
}

impl Shared {
    fn readers(&self) -> MutexGuard<'_, Option<Vec<Reader>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadQueue {
    /// A queue whose readers wait so long at most, and its end for the member.
    pub(crate) fn new(timeout: Duration) -> (Self, ReadInbox) {
        let shared = Arc::new(Shared { readers: Mutex::new(Some(Vec::new())), came: Notify::new() });
        (ReadQueue { shared: Arc::clone(&shared), timeout }, ReadInbox(shared))
    }

    /// Resolves when what is read here from then on holds every write that was acknowledged anywhere before the call;
    /// `None` when the member has ended.
    pub(crate) async fn wait(&self) -> Option<Result<()>> {
        let (answer, answered) = oneshot::channel();
        let reader = Reader::Here { answer, until: Instant::now() + self.timeout };
        let first = {
            let mut queue = self.shared.readers();
            let readers = queue.as_mut()?;
            if readers.len() >= READERS_MAX {
                return Some(Err(Error::Overloaded { limit: READERS_MAX }));
            }
            readers.push(reader);
            readers.len() == 1
        };
        if first {
            self.shared.came.notify_one();
        }
        answered.await.ok()
    }
}

impl ReadInbox {
    /// Resolves when somebody came since the queue was last emptied.
    pub(crate) async fn woken(&self) {
        self.0.came.notified().await;
    }

    /// Takes out whoever waits, so many at most.
    pub(crate) fn take(&self, readers_max: usize) -> Vec<Reader> {
        let mut queue = self.0.readers();
        match queue.as_mut() {
            Some(readers) if readers.len() <= readers_max => std::mem::take(readers),
            Some(readers) => {
                // The rest has announced itself already.
                self.0.came.notify_one();
                readers.drain(..readers_max).collect()
            }
            None => Vec::new(),
        }
    }
}

impl Drop for ReadInbox {
    fn drop(&mut self) {
        self.0.readers().take();
    }
}
