//! The replicated state of this node and the one way in: chosen entries, in order of their rounds.
//!
//! Must hold: a round is applied once, after every round before it; its row is noted as chosen in the log before anybody
//! hears of it; an answer is given only after the entry was applied here (D11). Used by paxakos' state keeper (a voter)
//! or by catch-up (a learner).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::id::Round;
use super::log::Log;
use super::submit::Submitter;
use crate::command::Entry;
use crate::error::Error;
use crate::machine::Machine;

/// The replica cannot go on: its store or its log failed. The node goes down with this error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ReplicaFailed(pub(crate) Arc<Error>);

/// The machine with what has to happen around each applied entry.
#[derive(Debug)]
pub(crate) struct Replica {
    machine: Mutex<Machine>,
    log: Log,
    submitter: Arc<Submitter>,
    applied: watch::Sender<Round>,
}

impl Replica {
    pub(crate) fn new(machine: Machine, log: Log, submitter: Arc<Submitter>) -> Self {
        let applied = watch::Sender::new(machine.applied());
        Replica { machine: Mutex::new(machine), log, submitter, applied }
    }

    /// The last applied round.
    pub(crate) fn applied(&self) -> Round {
        *self.applied.borrow()
    }

    /// Follows the last applied round.
    pub(crate) fn follow(&self) -> watch::Receiver<Round> {
        self.applied.subscribe()
    }

    #[cfg(test)]
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies the entry chosen for the round after the last applied one.
    ///
    /// # Errors
    /// Only when the store cannot be read or the log cannot take the note: the node goes down. A refused command is an
    /// outcome, not an error.
    pub(crate) fn apply_next(&self, entry: &Entry) -> Result<(), ReplicaFailed> {
        let (round, answers) = {
            let mut machine = self.machine();
            let round = machine.applied() + 1;
            let answers = machine.apply(round, entry).map_err(|error| ReplicaFailed(Arc::new(error)))?;
            (round, answers)
        };
        self.log.chosen(round, entry.clone()).map_err(|_| ReplicaFailed(self.log_failure()))?;
        self.applied.send_replace(round);
        self.submitter.on_answers(answers);
        Ok(())
    }

    /// Replays an entry that the log already holds as chosen: at start, before anybody listens (D7).
    pub(crate) fn replay(&self, round: Round, entry: &Entry) -> Result<(), ReplicaFailed> {
        self.machine().apply(round, entry).map_err(|error| ReplicaFailed(Arc::new(error)))?;
        self.applied.send_replace(round);
        Ok(())
    }

    /// Goes on from a snapshot (D8): nothing else may apply entries now, and no flush may be out. What waits for outcomes
    /// of the rounds left out finds them when it is sent again.
    pub(crate) fn succeed(&self, next: Machine) {
        let round = next.applied();
        let before = self.machine().succeed(next);
        self.applied.send_replace(round);
        // Freeing the rows takes milliseconds that nobody should wait for.
        tokio::task::spawn_blocking(move || drop(before));
    }

    /// Resolves when the log's file is closed; only after this replica is dropped, too.
    pub(crate) fn log_closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.log.closed()
    }

    fn log_failure(&self) -> Arc<Error> {
        self.log.failure().unwrap_or_else(|| Arc::new(Error::ShutDown))
    }
}
