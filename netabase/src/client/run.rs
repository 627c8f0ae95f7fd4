//! One run of a transaction's closure whose rows are at a member.
//!
//! ```text
//! closure ─ reads ──▶ writes so far + step ─▶ the member: lays them in, reads, notes ─▶ rows
//!         └ writes ─▶ kept here, each taken to go well unless an earlier run was told otherwise (Foresight)
//! ```
//! A write returns at once, so whether it will be refused is foreseen, and the member's word comes with the next step or
//! the last one. Must hold: nothing that rests on a wrong foresight gets out: the closure runs again, knowing better; what
//! the member keeps is used once, by one run, at one stay.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::ask::{Failure, into_error};
use super::read::rest;
use super::shared::{Member, Shared};
use crate::command::{Refusal, Transaction, Write};
use crate::desk::message::{Held, Page, Request, Step, Stepped, Trouble};
use crate::entropy;
use crate::error::{Error, Result};
use crate::schema::{Plan, RecordId};

/// How long the removal of a record is waited for that has expired and stands in the way of a write: mostly the leader has
/// it agreed on within a tenth of a second. It is not, while nobody leads, or if the clocks of a majority say otherwise than
/// the one beside the reader: then the write is refused.
const SWEEP_WAIT: Duration = Duration::from_secs(2);

/// What earlier runs of a closure were told: which of its writes are refused, by their number, and whether one is that would
/// not be a moment later.
#[derive(Debug, Default)]
pub(crate) struct Foresight {
    refused: HashMap<usize, (Write, Refusal)>,
    /// Until when it is waited for what has expired to be removed, once that was in the way.
    sweep_by: Option<Instant>,
    awaits_sweep: bool,
}

impl Foresight {
    fn of(&self, number: usize, write: &Write) -> Option<Refusal> {
        let (known, refusal) = self.refused.get(&number)?;
        (known == write).then(|| refusal.clone())
    }

    fn learn(&mut self, number: usize, write: &Write, refusal: Option<Refusal>) {
        match refusal {
            Some(refusal) => self.refused.insert(number, (write.clone(), refusal)),
            None => self.refused.remove(&number),
        };
    }

    /// What refused a write is shown to nobody, and is removed soon. Whether the closure is to run again then, instead of
    /// being told.
    pub(crate) fn awaits_sweep(&mut self) -> bool {
        let now = Instant::now();
        self.awaits_sweep = now < *self.sweep_by.get_or_insert(now + SWEEP_WAIT);
        self.awaits_sweep
    }

    /// Whether that was so in the run that has ended.
    pub(crate) fn take_awaits_sweep(&mut self) -> bool {
        std::mem::take(&mut self.awaits_sweep)
    }
}

/// What a run leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) transaction: Transaction,
    /// It has to run again, whatever the closure returned.
    pub(crate) again: bool,
}

pub(crate) struct Run {
    shared: Arc<Shared>,
    foresight: Arc<Mutex<Foresight>>,
    id: u64,
    state: Mutex<State>,
    /// One step at a time: each goes on where the one before ended.
    line: tokio::sync::Mutex<Line>,
    _turn: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct State {
    /// Every write that the closure asked for, and what is foreseen to refuse it.
    writes: Vec<(Write, Option<Refusal>)>,
    over: bool,
    released: bool,
    /// It has to run again.
    again: bool,
}

/// What the member knows of this run.
#[derive(Debug, Default)]
struct Line {
    member: Option<Member>,
    /// How many writes it has.
    sent: usize,
}

impl Run {
    pub(crate) async fn begin(shared: Arc<Shared>, foresight: Arc<Mutex<Foresight>>) -> Result<Run> {
        let turn = Arc::clone(&shared.runs).acquire_owned().await.map_err(|_| Error::ShutDown)?;
        if shared.has_ended() {
            return Err(shared.ending());
        }
        Ok(Run {
            shared,
            foresight,
            id: u64::from_be_bytes(entropy::bytes()),
            state: Mutex::default(),
            line: tokio::sync::Mutex::default(),
            _turn: turn,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn foresight(&self) -> MutexGuard<'_, Foresight> {
        self.foresight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The closure has been at it for too long: what it asks for from now on makes it run again.
    pub(crate) fn release(&self) {
        self.state().released = true;
    }

    /// Writes, as far as can be foreseen.
    pub(crate) fn write(&self, write: Write) -> Result<()> {
        let mut state = self.state();
        state.check_running()?;
        let refusal = self.foresight().of(state.writes.len(), &write);
        state.writes.push((write, refusal.clone()));
        refusal.map_or(Ok(()), |refusal| Err(refusal.into_error(&self.shared.catalog)))
    }

    pub(crate) async fn get(&self, record: RecordId, key: Vec<u8>) -> Result<Option<Bytes>> {
        self.state().check_running()?;
        self.step(Step::Get { record, key: key.into() }).await
    }

    pub(crate) async fn query(&self, mut plan: Plan) -> Result<Vec<Bytes>> {
        self.shared.check_index(&plan)?;
        let mut all = Vec::new();
        loop {
            self.state().check_running()?;
            let Page { values, next, .. } = self.step(Step::Page { plan: plan.clone() }).await?;
            plan = rest(plan, values.len(), &next);
            all.extend(values);
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// The closure has returned. Asks the member for what it noted, where that is needed: for writes to be done, or where
    /// their refusal was only foreseen; of a `named` call, always.
    pub(crate) async fn end(&self, returned_ok: bool, named: bool) -> Result<Ended> {
        self.state().over = true;
        let (is_told, writes) = {
            let sent = self.line.lock().await.sent;
            let state = self.state();
            let done = state.writes.iter().filter(|(_, refusal)| refusal.is_none());
            (sent == state.writes.len(), done.map(|(write, _)| write.clone()).collect::<Vec<_>>())
        };
        let needed = !is_told || (returned_ok && (named || !writes.is_empty()));
        let mut transaction = Transaction { writes, ..Transaction::default() };
        if needed && !self.state().again {
            match self.step::<Bytes>(Step::Conclude).await {
                Ok(notes) => match Transaction::decode(notes) {
                    Ok(noted) => transaction.reads = noted.reads,
                    Err(_) => self.state().again = true,
                },
                Err(Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        } else if let Some(member) = self.line.lock().await.member {
            self.shared.release(member, self.id);
        }
        Ok(Ended { transaction, again: self.state().again })
    }

    /// Tells the member of the writes since the last step, and takes one. Where it cannot go on, the closure has to run
    /// again: it never sees that error.
    async fn step<T: DeserializeOwned>(&self, step: Step) -> Result<T> {
        let mut line = self.line.lock().await;
        let new = line.member.is_none();
        let member = match line.member {
            Some(member) => member,
            None => self.shared.member_until(Instant::now() + self.shared.timeout).await?,
        };
        line.member = Some(member);
        let writes: Vec<(Write, Option<Refusal>)> = self.state().writes.get(line.sent..).unwrap_or_default().to_vec();
        let told =
            Transaction { writes: writes.iter().map(|(write, _)| write.clone()).collect(), ..Transaction::default() };
        let request = Request::Transact {
            seen: self.shared.seen(),
            lease: Held { id: self.id, new },
            first: u32::try_from(line.sent).unwrap_or(u32::MAX),
            writes: told.to_bytes(),
            step,
        };
        match self.shared.ask::<Stepped<T>>(member, &request, self.shared.timeout).await {
            Ok(Stepped { unswept: true, .. }) if self.foresight().awaits_sweep() => Err(self.run_again()),
            Ok(Stepped { refusals, result, .. }) if refusals.len() == writes.len() => {
                let mut foreseen = true;
                for ((number, (write, expected)), refusal) in (line.sent..).zip(&writes).zip(refusals) {
                    if *expected != refusal {
                        foreseen = false;
                        self.foresight().learn(number, write, refusal);
                    }
                }
                line.sent += writes.len();
                if foreseen { Ok(result) } else { Err(self.run_again()) }
            }
            Ok(_) => Err(self.run_again()),
            Err(Failure::Trouble(Trouble::NoLease | Trouble::Overloaded { .. })) => Err(self.run_again()),
            Err(failure) if self.shared.is_passing(member, &failure) => Err(self.run_again()),
            Err(failure) => Err(into_error(failure)),
        }
    }

    fn run_again(&self) -> Error {
        self.state().again = true;
        Error::Conflict
    }
}

impl State {
    fn check_running(&mut self) -> Result<()> {
        if self.over {
            return Err(Error::Configuration {
                option: "transaction",
                reason: "its `tx` was used after the closure had returned: await everything inside the closure".into(),
            });
        }
        self.again |= self.released;
        // Never seen by the caller: the closure runs again, whatever it makes of this.
        if self.again { Err(Error::Conflict) } else { Ok(()) }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("writes", &self.state().writes.len()).finish_non_exhaustive()
    }
}
