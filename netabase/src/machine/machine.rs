//! The state machine of one node: applies rounds in order, answers, flushes.
//!
//! What must hold: every round is applied once, whole, in order; nothing of a round is seen before all of
//! it; a flush takes rows and sessions as of the same round. After an error of `apply` the machine takes
//! nothing more, since its sessions may be ahead of its rows: open it anew.

use std::fmt;
use std::sync::Arc;

use super::expire::{Step, expire, is_due};
use super::footprint;
use super::hash::State;
#[cfg(test)]
use super::hash::StateHash;
use super::requests::{self, Requests};
use super::roster::Roster;
use super::rule::Rule;
use super::schema::{Keeper, adopt};
use super::sessions::{self, Admission, Captured, Limits, Place, Reply, Sessions};
use super::upgrade::upgrade;
use super::versions::Versions;
use crate::Error;
use crate::command::{Action, Applied, Batch, Command, Entry, Outcome, Reform, Refusal, SessionId, Transaction, Write};
use crate::schema::{Catalog, RecordGlue, RecordId};
use crate::storage::archive::DurableState;
use crate::storage::{self, Draft, Retired, Selecting, Store, StoreError, Sum, View, Views};

/// What a command is answered with, for whoever issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Opened { nonce: [u8; 16], session: SessionId },
    Write { session: SessionId, number: u64, reply: Reply },
}

/// What there is to do about the version of a record type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DueUpgrade {
    /// A later version can be written.
    Rise,
    /// Rows of an earlier one are to be converted.
    Rows,
    /// All of them were looked at, and some could not be.
    Stuck,
}

/// The replicated state and the rule that changes it.
pub(crate) struct Machine {
    store: Store,
    catalog: Catalog,
    rule: Rule,
    versions: Versions,
    sessions: Sessions,
    requests: Requests,
    roster: Arc<Roster>,
    failed: bool,
}

impl Machine {
    /// Opens the state at the round at which the store is durable. A new store takes the schema's descriptor;
    /// one with another is refused. `founders` take part as long as the log says nothing else.
    pub(crate) fn open(store: Store, catalog: Catalog, founders: Roster) -> Result<Machine, Error> {
        Machine::open_with(store, catalog, founders, Limits::default())
    }

    pub(super) fn open_with(
        mut store: Store,
        catalog: Catalog,
        founders: Roster,
        limits: Limits,
    ) -> Result<Machine, Error> {
        let versions = adopt(&mut store, &catalog, Keeper::Node, founders.founded_with())?;
        let roster = Arc::new(Roster::load(&store.view())?.unwrap_or(founders));
        let sessions = Sessions::load(&store.view(), limits)?;
        let requests = Requests::load(&store.view(), limits.requests_max)?;
        let rule = Rule::new(&catalog);
        Ok(Machine { store, catalog, rule, versions, sessions, requests, roster, failed: false })
    }

    /// The last applied round.
    pub(crate) fn applied(&self) -> u64 {
        self.store.applied()
    }

    /// The round at which a restart would open.
    pub(crate) fn durable_round(&self) -> u64 {
        self.store.durable_round()
    }

    /// The memory that rounds not yet durable take, about.
    pub(crate) fn overlay_bytes(&self) -> usize {
        self.store.overlay_bytes()
    }

    /// Who takes part, as of the last applied round.
    pub(crate) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// In which versions the records are, as of the last applied round.
    pub(crate) fn versions(&self) -> &Versions {
        &self.versions
    }

    /// A record type that is to be brought to a later version, or has rows that are. No rise waits for rows of another record
    /// type, nor do rows for those that are stuck elsewhere. `may`: whether it is time for that, where there are rows; asked of
    /// each of them, so that their pauses begin when they are seen.
    pub(crate) fn due_upgrade(
        &self,
        mut may: impl FnMut(RecordId, DueUpgrade) -> bool,
    ) -> Option<(RecordId, DueUpgrade)> {
        let mut records = self.catalog.records().map(|(record, _)| record);
        if let Some(record) = records.find(|record| self.roster.readable(*record) > self.versions.active(*record)) {
            return Some((record, DueUpgrade::Rise));
        }
        let waits = |(record, _): (RecordId, _)| {
            let stored = self.versions.get(record).filter(|stored| stored.is_converting())?;
            Some((record, if stored.stuck().is_some() { DueUpgrade::Stuck } else { DueUpgrade::Rows }))
        };
        let mut due: Vec<_> = self.catalog.records().filter_map(waits).collect();
        due.retain(|(record, due)| may(*record, *due));
        due.iter().find(|(_, due)| *due == DueUpgrade::Rows).or(due.first()).copied()
    }

    /// Whether its program does not know the versions that the cluster began with: it cannot apply the first round, and goes on
    /// from a snapshot.
    pub(crate) fn lacks_beginning(&self) -> bool {
        self.applied() == 0 && self.versions.is_empty() && !self.roster.founded_with().is_empty()
    }

    /// Whether any record has expired by then and is still there.
    pub(crate) fn is_due(&self, now_ms: u64) -> Result<bool, Error> {
        is_due(&self.rule, &self.store.view(), now_ms)
    }

    /// Whether records of this type expire, in any version.
    pub(crate) fn expires(&self, record: RecordId) -> bool {
        self.catalog.record(record).is_some_and(RecordGlue::expires)
    }

    /// The log's clock of what expires.
    pub(crate) fn clock_ms(&self) -> Result<u64, Error> {
        self.store.view().clock_ms()
    }

    /// What the rows come to as of the last applied round.
    pub(crate) fn sum(&self) -> Sum {
        self.store.sum()
    }

    /// Where readers find the newest view.
    pub(crate) fn views(&self) -> Views {
        self.store.views()
    }

    /// Applies a round and gives its answers, in the order of its commands. A body that does not decode
    /// does nothing. Errs if `round` is not the next one, which is the caller's fault and changes nothing, or
    /// if the store cannot be read, after which the node is down.
    pub(crate) fn apply(&mut self, round: u64, entry: &Entry) -> Result<Vec<Answer>, Error> {
        if self.failed {
            return Err(StoreError::Failed("the state could not be read before".to_owned()).into());
        }
        if self.lacks_beginning() {
            return Err(StoreError::Failed("this program does not know how the cluster began".to_owned()).into());
        }
        let applied = self.applied();
        if applied.checked_add(1) != Some(round) {
            return Err(StoreError::Failed(format!("round {round} was to be applied after round {applied}")).into());
        }
        let batch = Batch::decode(&entry.body).unwrap_or_default();
        let mut answers = Vec::with_capacity(batch.commands.len());
        let mut draft = self.store.draft();
        for (position, command) in (0_u32..).zip(batch.commands) {
            let place = Place { round, position };
            match command {
                Command::Open { nonce } => {
                    answers.push(Answer::Opened { nonce, session: self.sessions.open(place) });
                }
                Command::Close { session } => self.sessions.close(session),
                Command::Execute { session, number, floor, action } => {
                    let reply = match self.sessions.admit(session, number, floor, place) {
                        Admission::Answer(reply) => reply,
                        Admission::Execute => {
                            let done = match &action {
                                Action::Write(write) => execute(&self.rule, &self.versions, &mut draft, write, round),
                                Action::Transact(transaction) => {
                                    let law = (&self.rule, &self.versions);
                                    transact(law, &mut self.requests, &mut draft, transaction, place)
                                }
                                Action::Reform(change) => reform(&mut self.roster, &mut draft, change, place),
                                Action::Expire { now_ms } => {
                                    let law = (&self.rule, &self.versions);
                                    expire(law, &mut draft, *now_ms, round, Step::OF_A_ROUND)
                                        .map(|removed| Ok(Applied { round, existed: removed > 0 }))
                                }
                                Action::Upgrade(record) | Action::UpgradeAt { record, .. } => {
                                    let now_ms =
                                        if let Action::UpgradeAt { now_ms, .. } = &action { *now_ms } else { 0 };
                                    let readable = self.roster.readable(*record);
                                    let known = (&self.catalog, &self.rule);
                                    upgrade(known, &mut self.versions, &mut draft, *record, (readable, now_ms))
                                        .map(|()| Ok(Applied { round, existed: false }))
                                }
                            };
                            let outcome = done.inspect_err(|_| self.failed = true)?;
                            self.sessions.record(session, number, outcome.clone());
                            Reply::Done(outcome)
                        }
                    };
                    answers.push(Answer::Write { session, number, reply });
                }
                Command::Seal(seal) => {
                    if Arc::make_mut(&mut self.roster).seal(&seal, place) {
                        let row = self.roster.row(&draft).inspect_err(|_| self.failed = true)?;
                        draft.write(row);
                        // The epoch is over: what is behind its seal belongs to none.
                        break;
                    }
                }
            }
        }
        draft.install(round).inspect_err(|_| self.failed = true)?;
        Ok(answers)
    }

    /// The state at which a restart would open, to be copied elsewhere.
    pub(crate) fn durable_state(&self) -> DurableState {
        self.store.durable_state()
    }

    /// Lets another machine, opened at a later round, take this one's place: readers go on there. Not while a flush is
    /// out. Drop what it returns where nobody waits.
    pub(crate) fn succeed(&mut self, next: Machine) -> View {
        let Machine { store, catalog, rule, versions, sessions, requests, roster, failed } = next;
        let before = self.store.succeed(store);
        (self.catalog, self.rule, self.versions) = (catalog, rule, versions);
        (self.sessions, self.requests) = (sessions, requests);
        (self.roster, self.failed) = (roster, failed);
        before
    }

    /// The state as of the last applied round, to be hashed elsewhere.
    pub(crate) fn state(&self) -> State {
        State::new(self.store.view(), self.sessions.capture(), self.requests.capture())
    }

    /// The hash of the state as of the last applied round. Reads all of it.
    #[cfg(test)]
    pub(crate) fn state_hash(&self) -> Result<StateHash, Error> {
        self.state().hash()
    }

    /// Takes what is applied and not durable, to be written on another thread while rounds go on being
    /// applied. `None`: there is nothing, or a flush is out.
    pub(crate) fn begin_flush(&mut self) -> Option<Flush> {
        if self.failed {
            return None;
        }
        let store = self.store.begin_flush()?;
        Some(Flush { store, sessions: self.sessions.take_dirty(), requests: self.requests.take_dirty() })
    }

    /// Lets readers go on to what a flush wrote. Drop what it returns where nobody waits.
    pub(crate) fn end_flush(&mut self, done: FlushDone) -> Result<Retired, Error> {
        self.store.end_flush(done.store)
    }
}

fn execute(
    rule: &Rule,
    versions: &Versions,
    draft: &mut Draft<'_>,
    write: &Write,
    round: u64,
) -> Result<Outcome, Error> {
    let (changes, outcome) = rule.apply(draft, versions, write, round)?;
    draft.write(changes);
    Ok(outcome)
}

/// A change of who takes part, with the row that says so.
fn reform(roster: &mut Arc<Roster>, draft: &mut Draft<'_>, change: &Reform, place: Place) -> Result<Outcome, Error> {
    match Arc::make_mut(roster).reform(change, place) {
        Ok(()) => {
            let row = roster.row(draft)?;
            draft.write(row);
            Ok(Ok(Applied { round: place.round, existed: false }))
        }
        Err(refusal) => Ok(Err(Refusal::Reform(refusal))),
    }
}

/// All of its writes if all that it read still stands, else none. A named call that was done before is not done again;
/// a conflict is no outcome of it, since whoever made it runs it again.
fn transact(
    (rule, versions): (&Rule, &Versions),
    requests: &mut Requests,
    draft: &mut Draft<'_>,
    transaction: &Transaction,
    place: Place,
) -> Result<Outcome, Error> {
    if let Some(known) = transaction.request.and_then(|id| requests.outcome(&id).cloned()) {
        return Ok(known);
    }
    if !footprint::holds(draft, &transaction.reads, |record| rule.glue(record))? {
        return Ok(Err(Refusal::Conflict));
    }
    draft.begin();
    let mut outcome = Ok(Applied { round: place.round, existed: false });
    for write in &transaction.writes {
        match execute(rule, versions, draft, write, place.round)? {
            Ok(applied) => {
                outcome = Ok(Applied { existed: applied.existed && transaction.writes.len() == 1, ..applied })
            }
            Err(refusal) => {
                outcome = Err(refusal);
                break;
            }
        }
    }
    if outcome.is_ok() {
        draft.keep()
    } else {
        draft.roll_back()
    }
    // What is not written yet is no outcome either: the same call goes through once it is.
    let is_early = matches!(outcome, Err(Refusal::UnknownRecord { .. } | Refusal::NotActive { .. }));
    if let Some(id) = transaction.request.filter(|_| !is_early) {
        requests.record(id, place, outcome.clone());
    }
    Ok(outcome)
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("store", &self.store).field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// Rows and sessions as of one round, on their way to the disk.
#[derive(Debug)]
pub(crate) struct Flush {
    store: storage::Flush,
    sessions: Vec<Captured>,
    requests: Vec<requests::Dirty>,
}

impl Flush {
    /// Writes them in one synced transaction. After an error the store must be opened anew.
    pub(crate) fn run(self) -> Result<FlushDone, Error> {
        let sessions = self.sessions.iter().map(sessions::row);
        let rows = sessions.chain(self.requests.iter().map(requests::row)).collect::<Result<Vec<_>, _>>()?;
        Ok(FlushDone { store: self.store.run(rows)? })
    }
}

/// A flush that is durable, for `end_flush`.
#[derive(Debug)]
pub(crate) struct FlushDone {
    store: storage::FlushDone,
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transactions;
