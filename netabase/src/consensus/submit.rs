//! The commands of this node's handle on their way: numbered, sent, sent again, answered once (DESIGN, "Exactly once").
//!
//! ```text
//! submit ─▶ pending ─▶ take ─▶ leader (here or elsewhere) ─▶ log ─▶ apply here ─▶ on_answers ─▶ the caller
//!              └───── sent again when the leader changes or nothing is heard ◀──┘
//! ```
//!
//! Must hold: a command keeps its number however often it is sent, so it applies once; a number is given out once; the
//! floor never passes a number that is still awaited; a command that may have been proposed never ends in an error that
//! says it did not happen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, oneshot};

use super::relay::{Relay, Ticket};
use crate::command::{Action, Applied, Command, EncodedCommand, SessionId};
use crate::error::{Error, Result};
use crate::machine::{Answer, Reply};
use crate::schema::Catalog;

/// Commands of one session that may be awaited at once; the machine refuses numbers farther from the floor.
pub(crate) const OUTSTANDING_MAX: usize = 1_024;
/// After this long without an answer a command is sent again.
const SEND_AGAIN: Duration = Duration::from_secs(2);

/// The node's session and its commands that are not answered yet.
pub(crate) struct Submitter {
    catalog: Catalog,
    timeout: Duration,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    wake: Arc<Notify>,
    /// Commands of clients, which go the same way.
    relay: Arc<Relay>,
}

#[derive(Default)]
struct State {
    session: Session,
    next: u64,
    pending: BTreeMap<u64, Pending>,
    /// Why nothing is taken any more, once nothing is.
    closed: Option<Trouble>,
    /// No new commands are taken: the node is on its way out.
    retired: bool,
    /// Why new commands are not taken, while they are not.
    refusal: Option<Trouble>,
    /// Why nothing goes on at all, while it does not.
    hold: Option<Trouble>,
    /// Why nothing can be done, where that is known better than "no quorum".
    trouble: Option<Trouble>,
}

/// A lasting reason why this node finds no quorum, as the error to give.
pub(crate) type Trouble = Arc<dyn Fn() -> Error + Send + Sync>;

#[derive(Debug, Default)]
enum Session {
    #[default]
    None,
    Opening {
        nonce: [u8; 16],
        sent: Option<Instant>,
    },
    Open(SessionId),
}

#[derive(Debug)]
struct Pending {
    action: Action,
    sent: Option<Instant>,
    /// How many times it was handed over without a definite "not taken".
    handed_over: u32,
    answer: oneshot::Sender<Result<Applied>>,
}

/// One command to hand to the leader.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) whose: Whose,
    pub(crate) command: EncodedCommand,
}

/// What a command is to whoever hands it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// It opens the session.
    Opening,
    /// It has this number in the session.
    Own(u64),
    /// It is a client's.
    Client(Ticket),
}

impl std::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter").field("pending", &self.state().pending.len()).finish_non_exhaustive()
    }
}

impl Submitter {
    pub(crate) fn new(catalog: Catalog, timeout: Duration) -> Self {
        let wake = Arc::new(Notify::new());
        Submitter {
            catalog,
            timeout,
            permits: Arc::new(Semaphore::new(OUTSTANDING_MAX)),
            state: Mutex::default(),
            relay: Arc::new(Relay::new(Arc::clone(&wake))),
            wake,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a write or a transaction agreed on and applied here.
    ///
    /// Waits its turn while as many commands as may be are outstanding. Dropping the future gives up waiting; the write
    /// may then have happened.
    pub(crate) async fn submit(self: Arc<Self>, action: impl Into<Action>) -> Result<Applied> {
        let _permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| self.end())?;
        let (answer, answered) = oneshot::channel();
        let number = {
            let mut state = self.state();
            if let Some(end) = &state.closed {
                return Err(end());
            }
            if state.retired {
                return Err(Error::ShutDown);
            }
            if let Some(refusal) = state.hold.as_ref().or(state.refusal.as_ref()) {
                return Err(refusal());
            }
            let number = state.next;
            state.next += 1;
            state.pending.insert(number, Pending { action: action.into(), sent: None, handed_over: 0, answer });
            number
        };
        let waiting = Waiting { submitter: &self, number };
        self.wake.notify_one();
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.end()),
            Err(_) => Err(waiting.give_up()),
        }
    }

    /// The way of clients' commands.
    pub(crate) fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    /// Resolves when something may be waiting to be sent.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether no command waits for its outcome.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().pending.is_empty()
    }

    /// Commands to hand to the leader now, its own and clients': never sent, or without an answer for too long.
    pub(crate) fn take(&self, now: Instant, commands_max: usize, bytes_max: usize) -> Vec<Outgoing> {
        let mut outgoing = self.take_own(now, commands_max, bytes_max);
        let bytes: usize = outgoing.iter().map(|outgoing| outgoing.command.as_bytes().len()).sum();
        self.relay.take(commands_max - outgoing.len(), bytes_max.saturating_sub(bytes), &mut outgoing);
        outgoing
    }

    fn take_own(&self, now: Instant, commands_max: usize, bytes_max: usize) -> Vec<Outgoing> {
        let mut state = self.state();
        let due = |sent: Option<Instant>| sent.is_none_or(|sent| now.duration_since(sent) >= SEND_AGAIN);
        if state.pending.is_empty() {
            return Vec::new();
        }
        let session = match &mut state.session {
            Session::Open(session) => *session,
            opening => {
                if let Session::None = opening {
                    *opening = Session::Opening { nonce: crate::entropy::bytes(), sent: None };
                }
                let Session::Opening { nonce, sent } = opening else { return Vec::new() };
                if !due(*sent) {
                    return Vec::new();
                }
                *sent = Some(now);
                return vec![Outgoing { whose: Whose::Opening, command: Command::Open { nonce: *nonce }.encode() }];
            }
        };
        let floor = state.floor();
        let mut bytes = 0;
        let mut outgoing = Vec::new();
        for (&number, pending) in &mut state.pending {
            if outgoing.len() >= commands_max || bytes >= bytes_max {
                // More is waiting: come back at once.
                self.wake.notify_one();
                break;
            }
            // Too far above the floor it would only be refused: it waits for the numbers below it.
            if number - floor >= OUTSTANDING_MAX as u64 {
                break;
            }
            if !due(pending.sent) {
                continue;
            }
            let command = Command::Execute { session, number, floor, action: pending.action.clone() }.encode();
            bytes += command.as_bytes().len();
            pending.sent = Some(now);
            pending.handed_over += 1;
            outgoing.push(Outgoing { whose: Whose::Own(number), command });
        }
        outgoing
    }

    /// These were definitely not taken: they go out again.
    pub(crate) fn not_taken(&self, outgoing: &[Outgoing]) {
        let mut state = self.state();
        for whose in outgoing.iter().map(|outgoing| outgoing.whose) {
            match (whose, &mut state.session) {
                (Whose::Opening, Session::Opening { sent, .. }) => *sent = None,
                (Whose::Opening, _) => {}
                (Whose::Client(ticket), _) => self.relay.not_taken(ticket),
                (Whose::Own(number), _) => {
                    if let Some(pending) = state.pending.get_mut(&number) {
                        pending.sent = None;
                        pending.handed_over = pending.handed_over.saturating_sub(1);
                    }
                }
            }
        }
    }

    /// There is no quorum: every command that was never handed over ends, and did not happen.
    pub(crate) fn fail_unproposed(&self) {
        self.relay.fail_unproposed();
        let mut state = self.state();
        let unproposed: Vec<u64> =
            state.pending.iter().filter(|(_, pending)| pending.handed_over == 0).map(|(&number, _)| number).collect();
        for number in unproposed {
            let error = state.no_quorum();
            if let Some(pending) = state.pending.remove(&number) {
                let _ = pending.answer.send(Err(error));
            }
        }
    }

    /// The leader changed or the way to it broke: everything goes out again.
    pub(crate) fn send_all_again(&self) {
        let mut state = self.state();
        if let Session::Opening { sent, .. } = &mut state.session {
            *sent = None;
        }
        for pending in state.pending.values_mut() {
            pending.sent = None;
        }
        drop(state);
        self.relay.send_all_again();
        self.wake.notify_one();
    }

    /// What an applied entry says to this session.
    pub(crate) fn on_answers(&self, answers: Vec<Answer>) {
        if answers.is_empty() {
            return;
        }
        self.relay.on_answers(&answers);
        let mut state = self.state();
        for answer in answers {
            match answer {
                Answer::Opened { nonce, session } => {
                    if matches!(&state.session, Session::Opening { nonce: ours, .. } if *ours == nonce) {
                        state.session = Session::Open(session);
                        self.wake.notify_one();
                    }
                }
                Answer::Write { session, number, reply } => {
                    if !matches!(&state.session, Session::Open(ours) if *ours == session) {
                        continue;
                    }
                    match reply {
                        Reply::Done(outcome) => {
                            if let Some(pending) = state.pending.remove(&number) {
                                let outcome = outcome.map_err(|refusal| refusal.into_error(&self.catalog));
                                let _ = pending.answer.send(outcome);
                            }
                        }
                        // Below the floor: nobody awaits it any more.
                        // Beyond the window of the floor that went with it: it goes out again with a newer floor.
                        Reply::TooFarAhead => state.send_again(number),
                        Reply::Stale => {}
                        Reply::SessionGone => state.session_gone(),
                    }
                }
            }
        }
    }

    /// Why nothing can be done without a quorum.
    pub(crate) fn no_quorum(&self) -> Error {
        self.state().no_quorum()
    }

    /// What to say instead of "no quorum" as long as it lasts.
    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.state().trouble = trouble;
    }

    /// New commands are refused with this, until it is taken back.
    pub(crate) fn refuse(&self, refusal: Option<Trouble>) {
        self.state().refusal = refusal;
    }

    /// Why new commands are not taken, while they are not.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let state = self.state();
        if state.retired {
            return Some(Error::ShutDown);
        }
        state.refusal.as_ref().map(|refusal| refusal())
    }

    /// No new commands are taken; those that wait for their outcome go on.
    pub(crate) fn retire(&self) {
        self.state().retired = true;
        self.permits.close();
    }

    /// Why nothing is taken any more.
    fn end(&self) -> Error {
        self.state().closed.as_ref().map_or(Error::ShutDown, |end| end())
    }

    /// Nothing goes on here, for this reason, until that is taken back: new commands are refused, and those that were never
    /// handed over end.
    pub(crate) fn hold(&self, reason: Option<Trouble>) {
        let held = reason.is_some();
        self.state().hold = reason;
        if held {
            self.fail_unproposed();
        }
    }

    /// Ends every command; `error` says why, those that may have been proposed end in [`Error::ConnectionLost`].
    pub(crate) fn close(&self, error: impl Fn() -> Error + Send + Sync + 'static) {
        self.permits.close();
        self.relay.close();
        let mut state = self.state();
        let error: Trouble = Arc::new(error);
        state.closed.get_or_insert_with(|| Arc::clone(&error));
        for (_, pending) in std::mem::take(&mut state.pending) {
            let error = if pending.handed_over > 0 { Error::ConnectionLost } else { error() };
            let _ = pending.answer.send(Err(error));
        }
    }
}

impl State {
    /// The lowest number that is still awaited.
    fn floor(&self) -> u64 {
        self.pending.keys().next().copied().unwrap_or(self.next)
    }

    fn send_again(&mut self, number: u64) {
        if let Some(pending) = self.pending.get_mut(&number) {
            pending.sent = None;
        }
    }

    fn no_quorum(&self) -> Error {
        self.hold.as_ref().or(self.trouble.as_ref()).map_or(Error::NoQuorum, |trouble| trouble())
    }

    /// The cluster forgot the session: what was sent under it may have been applied and must not be sent anew.
    fn session_gone(&mut self) {
        self.session = Session::None;
        let sent: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| pending.handed_over > 0).map(|(&number, _)| number).collect();
        for number in sent {
            if let Some(pending) = self.pending.remove(&number) {
                let _ = pending.answer.send(Err(Error::Timeout));
            }
        }
    }
}

/// Removes the command when its caller stops waiting, however it stops.
struct Waiting<'a> {
    submitter: &'a Submitter,
    number: u64,
}

impl Waiting<'_> {
    fn give_up(self) -> Error {
        let mut state = self.submitter.state();
        match state.pending.remove(&self.number) {
            Some(pending) if pending.handed_over == 0 => state.no_quorum(),
            _ => Error::Timeout,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.submitter.state().pending.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
