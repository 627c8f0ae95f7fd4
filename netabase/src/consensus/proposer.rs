//! The leader's queue: commands gather while rounds are open, and leave as one entry a round.
//!
//! Must hold: at most [`WINDOW`] appends at once; a command whose entry was not chosen in its round goes back to the
//! front, in order; nothing is kept once this node no longer leads (its sender hears of it and sends again); once an epoch
//! is being sealed, no command leaves: only the seal does, and what closes rounds that failed.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::entries::Entries;
use super::keeper::Appended;
use super::paxakos_types::WINDOW;
use crate::command::{BatchBuilder, EncodedCommand, Entry};

/// Bytes of commands that may wait for a round.
const QUEUE_BYTES: usize = 64 << 20;
/// Commands that may wait for a round.
const QUEUE_COMMANDS: usize = 65_536;
/// Commands that have to wait for each open round before another one is opened; or this many bytes.
const GATHER_COMMANDS: usize = 16;
const GATHER_BYTES: usize = 128 << 10;
/// The first pause before a failed round is tried again, doubled up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The queue is full: nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

/// One append to make.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) entry: Entry,
}

/// Commands on their way into the log, while this node leads.
#[derive(Debug, Default)]
pub(crate) struct Proposer {
    queue: VecDeque<EncodedCommand>,
    queue_bytes: usize,
    open: HashMap<u64, Open>,
    next: u64,
    leads: bool,
    /// Rounds that failed and have to be closed with a no-op, at most; and when to try. None while this node does not
    /// lead.
    failed: usize,
    retry: Option<Retry>,
    /// The body that seals the epoch, once it is to end; and the append that carries it.
    seal: Option<Bytes>,
    seal_open: Option<u64>,
}

#[derive(Debug)]
struct Open {
    commands: Vec<EncodedCommand>,
    closing: bool,
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    pause: Duration,
}

impl Proposer {
    /// Queues commands, all or none.
    pub(crate) fn push(
        &mut self,
        commands: impl ExactSizeIterator<Item = EncodedCommand> + Clone,
    ) -> Result<(), Overloaded> {
        let bytes: usize = commands.clone().map(|command| command.as_bytes().len()).sum();
        if self.queue.len() + commands.len() > QUEUE_COMMANDS || self.queue_bytes + bytes > QUEUE_BYTES {
            return Err(Overloaded);
        }
        self.queue_bytes += bytes;
        self.queue.extend(commands);
        Ok(())
    }

    /// The next append to make, if a round is free and something waits for one.
    pub(crate) fn next(&mut self, now: Instant, entries: &Entries) -> Option<Ticket> {
        if self.open.len() >= WINDOW {
            return None;
        }
        let closing = self.retry.is_some_and(|retry| retry.at <= now);
        if let Some(seal) = self.seal.clone().filter(|_| !closing) {
            return self.next_seal(now, entries, seal);
        }
        if closing {
            // One append closes one failed round, the lowest; more follow if it fails again.
            if let Some(retry) = &mut self.retry {
                retry.at = now + retry.pause;
                retry.pause = (retry.pause * 2).min(RETRY_MAX);
            }
        } else if !self.is_worth_a_round() {
            return None;
        }
        let mut batch = BatchBuilder::new();
        let mut commands = Vec::new();
        if !closing {
            while let Some(command) = self.queue.front() {
                if !batch.push(command) {
                    break;
                }
                self.queue_bytes -= command.as_bytes().len();
                commands.extend(self.queue.pop_front());
            }
        }
        let number = self.next;
        self.next += 1;
        self.open.insert(number, Open { commands, closing, since: now });
        Some(Ticket { number, entry: entries.of(batch) })
    }

    fn next_seal(&mut self, now: Instant, entries: &Entries, body: Bytes) -> Option<Ticket> {
        if self.seal_open.is_some() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.seal_open = Some(number);
        self.open.insert(number, Open { commands: Vec::new(), closing: false, since: now });
        Some(Ticket { number, entry: entries.of_body(body) })
    }

    /// Ends the epoch with this body as soon as a round is free; what waits goes out in the next one.
    pub(crate) fn seal(&mut self, body: Bytes) {
        self.seal.get_or_insert(body);
    }

    /// Whether the epoch is being ended: then no command is taken.
    pub(crate) fn is_sealing(&self) -> bool {
        self.seal.is_some()
    }

    /// Whether what waits should have a round of its own now. A round costs every node the same whatever is in it, so the
    /// more of them are open, the more has to have gathered; with none open nobody waits.
    fn is_worth_a_round(&self) -> bool {
        let gathered = self.queue.len() >= self.open.len() * GATHER_COMMANDS || self.queue_bytes >= GATHER_BYTES;
        !self.queue.is_empty() && (self.open.is_empty() || gathered)
    }

    /// An append returned; `true` as long as this node may go on leading.
    pub(crate) fn on_appended(&mut self, now: Instant, number: u64, appended: Appended) -> bool {
        let Some(open) = self.open.remove(&number) else { return true };
        // Unless it was chosen, which ends this epoch and all of this, the seal goes out again.
        self.seal_open.take_if(|seal| *seal == number && !matches!(appended, Appended::Chosen(_)));
        match appended {
            // A no-op that found a fresh round: no failed one is left below it.
            Appended::Chosen(_) if open.closing => self.closed(now, self.failed),
            Appended::Chosen(_) => {}
            Appended::Railroaded | Appended::Converged => {
                self.closed(now, 1);
                for command in open.commands.into_iter().rev() {
                    self.queue_bytes += command.as_bytes().len();
                    self.queue.push_front(command);
                }
            }
            // The entry stays accepted here; closing its round chooses it.
            // Of a leader before: whoever leads next closes it.
            Appended::NoQuorum if !self.leads => {}
            Appended::NoQuorum => {
                self.failed += 1;
                self.retry.get_or_insert(Retry { at: now, pause: RETRY });
            }
            Appended::Lost | Appended::Gone => return false,
        }
        true
    }

    fn closed(&mut self, now: Instant, rounds: usize) {
        self.failed = self.failed.saturating_sub(rounds);
        self.retry = (self.failed > 0).then_some(Retry { at: now, pause: RETRY });
    }

    /// When a failed round is due to be closed; nothing while no append can be made, which ends by itself.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry.filter(|_| self.open.len() < WINDOW).map(|retry| retry.at)
    }

    /// How many appends have not returned.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// How long the oldest append has been under way.
    pub(crate) fn oldest(&self, now: Instant) -> Duration {
        self.open.values().map(|open| now.saturating_duration_since(open.since)).max().unwrap_or_default()
    }

    /// This node leads from now on: nothing is open, and nothing failed under this ballot.
    pub(crate) fn lead(&mut self) {
        self.leads = true;
    }

    /// This node no longer leads: what waits is dropped, what is open returns in its own time.
    pub(crate) fn step_down(&mut self) {
        self.leads = false;
        self.queue.clear();
        self.queue_bytes = 0;
        self.failed = 0;
        self.retry = None;
        self.seal = None;
        self.seal_open = None;
    }

    /// The keeper is gone, and every append with it.
    pub(crate) fn reset(&mut self) {
        self.step_down();
        self.open.clear();
    }
}

#[cfg(test)]
mod tests;
