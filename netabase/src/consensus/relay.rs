//! Clients' commands on their way through this node: to the leader with its own, and their outcomes back.
//!
//! ```text
//! desk: submit ─▶ queued ─▶ take ─▶ leader (here or elsewhere) ─▶ log ─▶ apply here ─▶ on_answers ─▶ desk
//!                   └─── again when the leader changes, or did not take it ◀──┘
//! ```
//! A command is known by its session and number, or by the nonce of an opening: whoever waits for that hears what became
//! of it, whichever copy was applied. Must hold: "not taken" is said only of a command that this node handed to nobody;
//! everything is bounded, and nothing stays behind when nobody waits for it. Used by the desk, driven by the submitter.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::submit::{Outgoing, Whose};
use crate::command::{Action, Command, EncodedCommand, SessionId};
use crate::machine::Answer;

/// Clients' commands under way through one node, and what they take.
const COMMANDS_MAX: usize = 16_384;
const BYTES_MAX: usize = 64 << 20;

/// By what the outcome of a command is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    Opening([u8; 16]),
    Command(SessionId, u64),
}

impl Name {
    /// The name of what a client may have done: it opens sessions, and writes within them.
    pub(crate) fn of(command: &Command) -> Option<Name> {
        match command {
            Command::Open { nonce } => Some(Name::Opening(*nonce)),
            Command::Execute { session, number, action: Action::Write(_) | Action::Transact(_), .. } => {
                Some(Name::Command(*session, *number))
            }
            // Who takes part is for members to say, and where an epoch ends, or how late it is, for the leader.
            Command::Execute {
                action: Action::Reform(_) | Action::Upgrade(_) | Action::UpgradeAt { .. } | Action::Expire { .. },
                ..
            }
            | Command::Close { .. }
            | Command::Seal(_) => None,
        }
    }
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Applied(Answer),
    /// It was handed to nobody, since there is no quorum.
    NoQuorum,
}

/// One command under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// All clients' commands that are under way through this node.
#[derive(Debug)]
pub(crate) struct Relay {
    state: Mutex<State>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    waiting: HashMap<Ticket, Waiting>,
    named: HashMap<Name, Vec<Ticket>>,
    /// To be handed over; may name commands that nobody waits for any more.
    queue: VecDeque<Ticket>,
    bytes: usize,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    name: Name,
    command: EncodedCommand,
    queued: bool,
    /// How many times it was handed over without a definite "not taken".
    handed_over: u32,
    settled: oneshot::Sender<Fate>,
}

/// There is no room for another command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) limit: usize,
}

impl Relay {
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        Relay { state: Mutex::default(), wake }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a client's command proposed, until what is returned is dropped.
    pub(crate) fn submit(self: &Arc<Self>, name: Name, command: EncodedCommand) -> Result<Relayed, Full> {
        let mut state = self.state();
        let bytes = command.as_bytes().len();
        if state.closed || state.waiting.len() >= COMMANDS_MAX || state.bytes.saturating_add(bytes) > BYTES_MAX {
            return Err(Full { limit: COMMANDS_MAX });
        }
        let (settled, fate) = oneshot::channel();
        state.last += 1;
        let ticket = Ticket(state.last);
        state.bytes += bytes;
        state.named.entry(name).or_default().push(ticket);
        state.queue.push_back(ticket);
        state.waiting.insert(ticket, Waiting { name, command, queued: true, handed_over: 0, settled });
        drop(state);
        self.wake.notify_one();
        Ok(Relayed { relay: Arc::clone(self), ticket, fate })
    }

    /// Adds to `outgoing` what is to be handed over.
    pub(super) fn take(&self, commands_max: usize, bytes_max: usize, outgoing: &mut Vec<Outgoing>) {
        let mut state = self.state();
        let (mut commands, mut bytes) = (0, 0);
        while let Some(&ticket) = state.queue.front() {
            let Some(waiting) = state.waiting.get_mut(&ticket) else {
                state.queue.pop_front();
                continue;
            };
            if commands >= commands_max || bytes >= bytes_max {
                // More is waiting: come back at once.
                self.wake.notify_one();
                return;
            }
            commands += 1;
            bytes += waiting.command.as_bytes().len();
            waiting.queued = false;
            waiting.handed_over += 1;
            outgoing.push(Outgoing { whose: Whose::Client(ticket), command: waiting.command.clone() });
            state.queue.pop_front();
        }
    }

    /// It was definitely not taken: it goes out again.
    pub(super) fn not_taken(&self, ticket: Ticket) {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.get_mut(&ticket) {
            waiting.handed_over = waiting.handed_over.saturating_sub(1);
            state.queue_again(ticket);
        }
    }

    /// The leader changed: everything goes out again.
    pub(super) fn send_all_again(&self) {
        let mut state = self.state();
        let mut tickets: Vec<Ticket> = state.waiting.keys().copied().collect();
        // In the order in which they came.
        tickets.sort_unstable();
        tickets.into_iter().for_each(|ticket| state.queue_again(ticket));
    }

    /// There is no quorum: whatever was never handed over ends.
    pub(super) fn fail_unproposed(&self) {
        let mut state = self.state();
        let unproposed =
            state.waiting.iter().filter(|(_, waiting)| waiting.handed_over == 0).map(|(&ticket, _)| ticket);
        for ticket in unproposed.collect::<Vec<_>>() {
            state.settle(ticket, Fate::NoQuorum);
        }
    }

    /// What an applied entry says.
    pub(super) fn on_answers(&self, answers: &[Answer]) {
        let mut state = self.state();
        if state.waiting.is_empty() {
            return;
        }
        for answer in answers {
            let name = match answer {
                Answer::Opened { nonce, .. } => Name::Opening(*nonce),
                // It is to go out again with a newer floor, which only its client has.
                Answer::Write { session, number, .. } => Name::Command(*session, *number),
            };
            for ticket in state.named.get(&name).cloned().unwrap_or_default() {
                state.settle(ticket, Fate::Applied(answer.clone()));
            }
        }
    }

    /// Nothing is taken any more; whoever waits hears nothing.
    pub(super) fn close(&self) {
        *self.state() = State { closed: true, ..State::default() };
    }
}

impl State {
    fn queue_again(&mut self, ticket: Ticket) {
        if let Some(waiting) = self.waiting.get_mut(&ticket)
            && !std::mem::replace(&mut waiting.queued, true)
        {
            self.queue.push_back(ticket);
        }
    }

    fn settle(&mut self, ticket: Ticket, fate: Fate) {
        if let Some(waiting) = self.forget(ticket) {
            let _ = waiting.settled.send(fate);
        }
    }

    fn forget(&mut self, ticket: Ticket) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        self.bytes -= waiting.command.as_bytes().len();
        if let Some(tickets) = self.named.get_mut(&waiting.name) {
            tickets.retain(|other| *other != ticket);
            if tickets.is_empty() {
                self.named.remove(&waiting.name);
            }
        }
        // At most half of the queue is of commands that nobody waits for.
        if self.queue.len() > 2 * self.waiting.len() + 16 {
            let waiting = &self.waiting;
            self.queue.retain(|ticket| waiting.contains_key(ticket));
        }
        Some(waiting)
    }
}

/// A client's command under way. Dropped, nobody waits for it any more; it may be applied all the same.
#[derive(Debug)]
pub(crate) struct Relayed {
    relay: Arc<Relay>,
    ticket: Ticket,
    fate: oneshot::Receiver<Fate>,
}

impl Relayed {
    /// What became of it; `None` when this node will not know.
    pub(crate) async fn settled(&mut self) -> Option<Fate> {
        (&mut self.fate).await.ok()
    }

    /// Whether it was handed to nobody so far.
    pub(crate) fn is_untaken(&self) -> bool {
        self.relay.state().waiting.get(&self.ticket).is_some_and(|waiting| waiting.handed_over == 0)
    }

    /// Ends the wait. Whether it was handed to nobody, so that it did not happen and will not.
    pub(crate) fn give_up(self) -> Outlook {
        match self.relay.state().forget(self.ticket) {
            Some(waiting) if waiting.handed_over == 0 => Outlook::NotTaken,
            _ => Outlook::Unknown,
        }
    }
}

/// What can be said of a command that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    NotTaken,
    Unknown,
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.relay.state().forget(self.ticket);
    }
}

#[cfg(test)]
mod tests;
