//! The replicated state of this node and the one way in: chosen entries, in order of their rounds.
//!
//! Must hold: a round is applied once, after every round before it; its row is noted as chosen in the log before anybody
//! hears of it; an answer is given only after the entry was applied here (D11); what was chosen in an epoch behind its seal
//! is void. Used by paxakos' state keeper (a voter) or by catch-up (a learner).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::checkpoint::{Checkpoint, Checkpoints};
use super::id::{Epoch, Round};
use super::log::Log;
use super::submit::Submitter;
use crate::command::Entry;
use crate::error::Error;
use crate::machine::{FlushDone, Machine, Retired, Roster, Versions};

/// The replica cannot go on: its store or its log failed. The node goes down with this error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ReplicaFailed(pub(crate) Arc<Error>);

/// The machine with what has to happen around each applied entry.
#[derive(Debug)]
pub(crate) struct Replica {
    machine: Mutex<Machine>,
    /// The log as the epoch writes to it in which this node is.
    log: Mutex<Log>,
    submitter: Arc<Submitter>,
    applied: watch::Sender<Round>,
    /// The round at which the store is synced.
    durable: watch::Sender<Round>,
    roster: watch::Sender<Arc<Roster>>,
    checkpoints: Mutex<Checkpoints>,
}

impl Replica {
    pub(crate) fn new(machine: Machine, log: Log, submitter: Arc<Submitter>, checkpoint_rounds: Round) -> Self {
        let applied = watch::Sender::new(machine.applied());
        let durable = watch::Sender::new(machine.durable_round());
        let roster = watch::Sender::new(Arc::clone(machine.roster()));
        let (machine, log, checkpoints) = (Mutex::new(machine), Mutex::new(log), Checkpoints::new(checkpoint_rounds));
        let checkpoints = Mutex::new(checkpoints);
        Replica { machine, log, submitter, applied, durable, roster, checkpoints }
    }

    /// The last applied round.
    pub(crate) fn applied(&self) -> Round {
        *self.applied.borrow()
    }

    /// Follows the last applied round.
    pub(crate) fn follow(&self) -> watch::Receiver<Round> {
        self.applied.subscribe()
    }

    pub(crate) fn log(&self) -> Log {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, rounds are those of the epoch of this log.
    pub(crate) fn enter(&self, log: Log) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = log;
    }

    /// Who takes part, as of the last applied round.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// In which versions the records are, as of the last applied round.
    pub(crate) fn versions(&self) -> Versions {
        self.machine().versions().clone()
    }

    /// Follows who takes part.
    pub(crate) fn follow_roster(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    /// Tells of the list of members if a round has changed it.
    fn publish_roster(&self, roster: &Arc<Roster>) {
        self.roster.send_if_modified(|known| {
            let changed = !Arc::ptr_eq(known, roster);
            if changed {
                *known = Arc::clone(roster);
            }
            changed
        });
    }

    /// What the rows came to at the last rounds at which nodes compare that.
    pub(crate) fn checkpoints(&self) -> Vec<Checkpoint> {
        self.lock_checkpoints().to_vec()
    }

    fn lock_checkpoints(&self) -> MutexGuard<'_, Checkpoints> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies the entry that was chosen in this epoch for this round, the one after the last applied one; nothing, if the
    /// epoch is sealed: such an entry is void, and its commands are proposed again in the next epoch.
    ///
    /// # Errors
    /// When the store cannot be read, the log cannot take the note, or it is another round's turn: the node goes down. A
    /// refused command is an outcome, not an error.
    pub(crate) fn apply_next(&self, epoch: Epoch, round: Round, entry: &Entry) -> Result<(), ReplicaFailed> {
        let (answers, roster) = {
            let mut machine = self.machine();
            if machine.roster().epoch != epoch.0 {
                return Ok(());
            }
            let answers = machine.apply(round, entry).map_err(|error| ReplicaFailed(Arc::new(error)))?;
            self.lock_checkpoints().on_applied(round, || machine.sum());
            (answers, Arc::clone(machine.roster()))
        };
        self.log().chosen(round, entry.clone()).map_err(|_| ReplicaFailed(self.log_failure()))?;
        self.publish_roster(&roster);
        self.applied.send_replace(round);
        self.submitter.on_answers(answers);
        Ok(())
    }

    /// Replays an entry that the log already holds as chosen: at start, before anybody listens (D7).
    pub(crate) fn replay(&self, round: Round, entry: &Entry) -> Result<(), ReplicaFailed> {
        let roster = {
            let mut machine = self.machine();
            machine.apply(round, entry).map_err(|error| ReplicaFailed(Arc::new(error)))?;
            self.lock_checkpoints().on_applied(round, || machine.sum());
            Arc::clone(machine.roster())
        };
        self.publish_roster(&roster);
        self.applied.send_replace(round);
        Ok(())
    }

    /// Follows the round at which the store is synced.
    pub(crate) fn follow_durable(&self) -> watch::Receiver<Round> {
        self.durable.subscribe()
    }

    /// A flush is over.
    pub(crate) fn end_flush(&self, done: FlushDone) -> Result<Retired, Error> {
        let mut machine = self.machine();
        let retired = machine.end_flush(done)?;
        self.durable.send_replace(machine.durable_round());
        Ok(retired)
    }

    /// Goes on from a snapshot (D8): nothing else may apply entries now, and no flush may be out. What waits for outcomes
    /// of the rounds left out finds them when it is sent again.
    pub(crate) fn succeed(&self, next: Machine) {
        let (round, roster) = (next.applied(), Arc::clone(next.roster()));
        let before = self.machine().succeed(next);
        self.lock_checkpoints().forget();
        self.publish_roster(&roster);
        self.applied.send_replace(round);
        self.durable.send_replace(round);
        // Freeing the rows takes milliseconds that nobody should wait for.
        tokio::task::spawn_blocking(move || drop(before));
    }

    /// Resolves when the log's file is closed; only after this replica is dropped, too.
    pub(crate) fn log_closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.log().closed()
    }

    fn log_failure(&self) -> Arc<Error> {
        self.log().failure().unwrap_or_else(|| Arc::new(Error::ShutDown))
    }
}
