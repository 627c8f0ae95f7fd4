//! The writer while the disk is full: it waits for room, opens the file anew, as after a restart, and goes on (D13).
//!
//! Must hold: whoever waits for a record hears that it was not logged, as after any failed commit; what is known to be
//! chosen and was not durable yet is kept, in order, and is the first that is logged again, so that no round is missing
//! behind what was applied.

use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::open;
use super::writer::{Op, Request, Writer};
use crate::error::{Error, Result};

/// How often it is looked whether there is room again.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// Why it does not go on.
enum Stuck {
    /// There is no room yet, or somebody still reads from the file that was.
    Still,
    Failed(Error),
}

pub(super) fn is_full(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if error.kind() == ErrorKind::StorageFull)
}

impl Writer {
    /// Waits until `group` could be logged again, of which only what is chosen is kept; `Ok(false)` when nobody needs the
    /// log any more.
    pub(super) fn wait_for_room(&mut self, receiver: &Receiver<Request>, group: &mut Vec<Request>) -> Result<bool> {
        let mut kept = Vec::new();
        kept.extend(group.drain(..).filter(is_note));
        loop {
            let until = Instant::now() + TRY_EVERY;
            loop {
                match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    // Dropping the others tells whoever waits for them.
                    Ok(request) => kept.extend(Some(request).filter(is_note).filter(|kept| kept.epoch == self.epoch)),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return Ok(false),
                }
            }
            match self.begin_anew(&mut kept) {
                Ok(()) => return Ok(true),
                Err(Stuck::Still) => {}
                Err(Stuck::Failed(error)) => return Err(error),
            }
        }
    }

    fn begin_anew(&mut self, kept: &mut Vec<Request>) -> Result<(), Stuck> {
        let database = self.home.reopen().map_err(Stuck::Failed)?.ok_or(Stuck::Still)?;
        // What the file holds is what counts: a commit that failed may have arrived all the same.
        let mirror = open::load(&database, self.epoch).map_err(Stuck::Failed)?;
        drop(database);
        *self.lock_mirror() = mirror;
        match self.commit(kept) {
            Ok(()) => self.publish(kept).map_err(Stuck::Failed),
            Err(error) if is_full(&error) => Err(Stuck::Still),
            Err(error) => Err(Stuck::Failed(Error::storage("the consensus log cannot be written", error))),
        }
    }
}

/// A note of a chosen round; nobody waits for it, and it must not be left out.
fn is_note(request: &Request) -> bool {
    matches!(request.op, Op::Chosen { .. })
}
