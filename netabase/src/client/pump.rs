//! Commands on their way to the member, and their outcomes back.
//!
//! Must hold: whatever may have been taken counts as handed over; after a move everything goes out again, under its
//! numbers; "no quorum" is said only when every member was asked and says so.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::SUBMITS_MAX;
use super::ask::{Failure, lasting};
use super::shared::{Member, Shared, Where};
use crate::command::{BATCH_BYTES, COMMANDS_MAX, Command};
use crate::consensus::{Name, Outgoing};
use crate::desk::message::{Request, Settled, Submitted, Trouble};
use crate::machine::{Answer, Reply};

/// How long a member may take to say what became of commands: longer than it waits for that itself.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often is looked for commands to send again.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pause after a member did not take commands.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Pump {
    shared: Arc<Shared>,
    under_way: Cell<usize>,
    returned: Notify,
    not_before: Cell<Option<Instant>>,
    /// So many members in a row said that there is no quorum.
    without_quorum: Cell<usize>,
}

impl Pump {
    pub(super) fn new(shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Pump {
            shared,
            under_way: Cell::new(0),
            returned: Notify::new(),
            not_before: Cell::new(None),
            without_quorum: Cell::new(0),
        })
    }

    /// Runs until it is dropped.
    pub(super) async fn run(self: Rc<Self>) {
        let mut place = self.shared.place.subscribe();
        let mut before = None;
        loop {
            let now = *place.borrow_and_update();
            if let Where::At(member) = now {
                if before != Some(member) {
                    before = Some(member);
                    self.shared.submitter.send_all_again();
                }
                self.send(member);
            }
            tokio::select! {
                Ok(()) = place.changed() => {}
                () = self.shared.submitter.woken() => {}
                () = self.returned.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn send(self: &Rc<Self>, member: Member) {
        let now = Instant::now();
        if self.not_before.get().is_some_and(|after| after > now) {
            return;
        }
        while self.under_way.get() < SUBMITS_MAX {
            let outgoing = self.shared.submitter.take(now, COMMANDS_MAX, BATCH_BYTES);
            if outgoing.is_empty() {
                return;
            }
            self.under_way.set(self.under_way.get() + 1);
            let pump = Rc::clone(self);
            tokio::task::spawn_local(async move {
                let commands = outgoing.iter().map(|outgoing| outgoing.command.as_bytes().clone()).collect();
                let request = Request::Submit { commands };
                let mut answer = pin!(pump.shared.ask_peer(member.peer, &request, SUBMIT_TIMEOUT));
                let answered = tokio::select! {
                    biased;
                    answer = &mut answer => Some(answer),
                    () = pump.shared.left(member) => None,
                };
                // Whoever is asked next does not wait for the one before, whose word on these commands still counts: without
                // it nobody could say that they did not happen.
                pump.under_way.set(pump.under_way.get() - 1);
                pump.returned.notify_one();
                let answer = match answered {
                    Some(answer) => answer,
                    None => answer.await,
                };
                pump.shared.judge(member, &answer);
                pump.on_answer(member, &outgoing, answer);
                pump.returned.notify_one();
            });
        }
    }

    fn on_answer(&self, member: Member, outgoing: &[Outgoing], answer: Result<Submitted, Failure>) {
        let submitter = &self.shared.submitter;
        match answer {
            Ok(submitted) if submitted.settled.len() == outgoing.len() => self.on_settled(member, outgoing, submitted),
            // Whatever that was, they may have been taken.
            Ok(_) | Err(Failure::Lost) => {}
            Err(failure) => {
                submitter.not_taken(outgoing);
                self.pause();
                if let Failure::Trouble(Trouble::NotAuthorized { .. }) = failure {
                    self.shared.set_trouble(Some(lasting(failure)));
                    submitter.fail_unproposed();
                }
            }
        }
    }

    fn on_settled(&self, member: Member, outgoing: &[Outgoing], submitted: Submitted) {
        self.shared.see(submitted.applied);
        let (mut answers, mut no_quorum) = (Vec::new(), false);
        for (outgoing, settled) in outgoing.iter().zip(submitted.settled) {
            let reply = match settled {
                Settled::Opened(session) => {
                    if let Some(Name::Opening(nonce)) = name(outgoing) {
                        answers.push(Answer::Opened { nonce, session });
                    }
                    continue;
                }
                Settled::Done(outcome) => {
                    if let Ok(applied) = &outcome {
                        self.shared.see(applied.round);
                    }
                    Reply::Done(outcome)
                }
                Settled::SessionGone => Reply::SessionGone,
                Settled::Stale => Reply::Stale,
                Settled::TooFarAhead => Reply::TooFarAhead,
                Settled::NotTaken | Settled::NoQuorum => {
                    no_quorum |= settled == Settled::NoQuorum;
                    self.shared.submitter.not_taken(std::slice::from_ref(outgoing));
                    self.pause();
                    continue;
                }
                Settled::Unknown => continue,
            };
            if let Some(Name::Command(session, number)) = name(outgoing) {
                answers.push(Answer::Write { session, number, reply });
            }
        }
        if !answers.is_empty() {
            self.without_quorum.set(0);
        }
        self.shared.submitter.on_answers(answers);
        if no_quorum {
            // The member may be cut off from the others: they are asked before the caller hears of it.
            self.without_quorum.set(self.without_quorum.get() + 1);
            if self.without_quorum.get() >= self.shared.reachable() {
                self.without_quorum.set(0);
                self.shared.submitter.fail_unproposed();
            }
            self.shared.leave(member);
        }
    }

    fn pause(&self) {
        self.not_before.set(Some(Instant::now() + PAUSE));
    }
}

fn name(outgoing: &Outgoing) -> Option<Name> {
    Command::decode(outgoing.command.as_bytes().clone()).ok().as_ref().and_then(Name::of)
}
