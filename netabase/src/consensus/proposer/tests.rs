//! The leader's queue: what gathers, what goes out, what comes back.

use bytes::Bytes;

use super::*;
use crate::command::{Batch, Command, EntryIds, SessionId, Write};
use crate::schema::RecordId;

fn leading() -> Proposer {
    let mut proposer = Proposer::default();
    proposer.lead();
    proposer
}

fn entries() -> Entries {
    Entries::new(EntryIds::new([7; 16]))
}

fn command(number: u64, bytes: usize) -> EncodedCommand {
    let write = Write::Put { record: RecordId(1), value: Bytes::from(vec![0; bytes]) };
    Command::Execute { session: SessionId { round: 1, position: 0 }, number, floor: 0, action: write.into() }.encode()
}

/// The numbers of the commands in a ticket.
fn numbers(ticket: &Ticket) -> Vec<u64> {
    let batch = Batch::decode(&ticket.entry.body).unwrap();
    let number = |command: &Command| match command {
        Command::Execute { number, .. } => *number,
        other => panic!("not a write: {other:?}"),
    };
    batch.commands.iter().map(number).collect()
}

/// Has as much gather as makes another round worth it, and opens the round.
fn gathered(proposer: &mut Proposer, now: Instant, entries: &Entries) -> Ticket {
    let enough = (proposer.open() * GATHER_COMMANDS).max(1);
    push(proposer, 0..enough as u64);
    proposer.next(now, entries).expect("it is worth a round")
}

fn push(proposer: &mut Proposer, numbers: std::ops::Range<u64>) {
    let commands: Vec<EncodedCommand> = numbers.map(|number| command(number, 10)).collect();
    proposer.push(commands.into_iter()).unwrap();
}

#[test]
fn what_waits_leaves_as_one_entry() {
    let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
    assert!(proposer.next(now, &entries).is_none());
    push(&mut proposer, 0..3);
    push(&mut proposer, 3..5);
    let ticket = proposer.next(now, &entries).unwrap();
    assert_eq!(numbers(&ticket), [0, 1, 2, 3, 4]);
    assert!(proposer.next(now, &entries).is_none());
    assert_eq!(proposer.open(), 1);
    assert!(proposer.on_appended(now, ticket.number, Appended::Chosen(1)));
    assert_eq!((proposer.open(), proposer.queue_bytes), (0, 0));
}

/// Every open round makes the next one wait for more; bytes count too; alone nobody waits.
#[test]
fn a_round_is_opened_when_it_is_worth_one() {
    let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
    gathered(&mut proposer, now, &entries);
    let second = GATHER_COMMANDS as u64;
    push(&mut proposer, 0..second - 1);
    assert!(proposer.next(now, &entries).is_none());
    push(&mut proposer, second - 1..second);
    assert_eq!(numbers(&proposer.next(now, &entries).unwrap()).len(), GATHER_COMMANDS);
    proposer.push(std::iter::once(command(0, GATHER_BYTES))).unwrap();
    assert!(proposer.next(now, &entries).is_some());
    push(&mut proposer, 0..1);
    assert!(proposer.next(now, &entries).is_none());
    for number in 0..3 {
        assert!(proposer.on_appended(now, number, Appended::Chosen(number)));
    }
    assert!(proposer.next(now, &entries).is_some());
}

#[test]
fn at_most_a_window_of_rounds_is_open() {
    let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
    let mut tickets = Vec::new();
    for _ in 0..WINDOW {
        tickets.push(gathered(&mut proposer, now, &entries));
    }
    push(&mut proposer, 1_000..1_300);
    assert!(proposer.next(now, &entries).is_none());
    assert_eq!(proposer.oldest(now + Duration::from_secs(3)), Duration::from_secs(3));
    assert!(proposer.on_appended(now, tickets[4].number, Appended::Chosen(5)));
    let waited: Vec<u64> = (1_000..1_300).collect();
    assert_eq!(numbers(&proposer.next(now, &entries).unwrap()), waited, "they gathered meanwhile");
    assert!(proposer.next(now, &entries).is_none());
}

#[test]
fn what_was_not_chosen_goes_first_and_in_order() {
    for appended in [Appended::Railroaded, Appended::Converged] {
        let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
        push(&mut proposer, 0..3);
        let ticket = proposer.next(now, &entries).unwrap();
        push(&mut proposer, 3..5);
        assert!(proposer.on_appended(now, ticket.number, appended));
        let again = proposer.next(now, &entries).unwrap();
        assert_eq!(numbers(&again), [0, 1, 2, 3, 4]);
        assert_ne!(again.entry.id, ticket.entry.id, "an id is never used for two entries");
        assert!(proposer.on_appended(now, ticket.number, appended), "a report said twice does nothing");
        assert!(proposer.next(now, &entries).is_none());
    }
}

#[test]
fn a_failed_round_is_closed_at_once_then_with_pauses() {
    let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
    push(&mut proposer, 0..1);
    let ticket = proposer.next(now, &entries).unwrap();
    assert!(proposer.on_appended(now, ticket.number, Appended::NoQuorum), "it goes on leading");
    let mut at = now;
    for pause in [50, 100, 200, 400, 800, 1_000, 1_000] {
        assert_eq!(proposer.retry_at(), Some(at));
        assert!(at == now || proposer.next(at - Duration::from_millis(1), &entries).is_none());
        let closing = proposer.next(at, &entries).unwrap();
        assert_eq!(numbers(&closing), [0_u64; 0], "a no-op: the command is in the round that failed");
        assert!(proposer.next(at, &entries).is_none(), "one at a time");
        assert!(proposer.on_appended(at, closing.number, Appended::NoQuorum));
        at += Duration::from_millis(pause);
    }
    let closing = proposer.next(at, &entries).unwrap();
    // Found a fresh round: every round below it is decided.
    assert!(proposer.on_appended(at, closing.number, Appended::Chosen(9)));
    assert_eq!(proposer.retry_at(), None);
    assert!(proposer.next(at + RETRY_MAX, &entries).is_none());
}

#[test]
fn a_closing_no_op_that_is_railroaded_closes_one_round() {
    let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
    for _ in 0..2 {
        gathered(&mut proposer, now, &entries);
    }
    for number in 0..2 {
        assert!(proposer.on_appended(now, number, Appended::NoQuorum));
    }
    for left in [1, 0] {
        let closing = proposer.next(now, &entries).unwrap();
        assert!(proposer.on_appended(now, closing.number, Appended::Railroaded));
        assert_eq!(proposer.failed, left);
    }
    assert_eq!(proposer.retry_at(), None);
}

/// While every round was open, a retry that was due made the member run in circles.
#[test]
fn nothing_is_due_while_no_round_is_free() {
    let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
    let failed = gathered(&mut proposer, now, &entries);
    let mut open = Vec::new();
    for _ in 1..WINDOW {
        open.push(gathered(&mut proposer, now, &entries));
    }
    assert!(proposer.on_appended(now, failed.number, Appended::NoQuorum));
    assert_eq!(proposer.retry_at(), Some(now));
    proposer.next(now, &entries).unwrap();
    assert_eq!(proposer.open(), WINDOW);
    assert_eq!(proposer.retry_at(), None);
    assert!(proposer.on_appended(now, open[0].number, Appended::Chosen(3)));
    assert!(proposer.retry_at().is_some());
}

#[test]
fn what_lost_the_mandate_ends_leading_and_leaves_nothing_behind() {
    for appended in [Appended::Lost, Appended::Gone] {
        let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
        push(&mut proposer, 0..1);
        let first = proposer.next(now, &entries).unwrap();
        let second = gathered(&mut proposer, now, &entries);
        push(&mut proposer, 2..3);
        assert!(!proposer.on_appended(now, first.number, appended));
        proposer.step_down();
        assert!(proposer.next(now, &entries).is_none());
        assert_eq!(proposer.open(), 1, "what is under way returns in its own time");
        assert!(proposer.on_appended(now, second.number, Appended::Chosen(2)));
        assert_eq!(proposer.open(), 0);
        proposer.reset();
        assert_eq!(proposer.oldest(now), Duration::ZERO);
    }
}

/// An append that failed after its leader had stepped down left a retry that was due for ever: the member ran in circles.
#[test]
fn what_fails_after_stepping_down_is_left_to_the_next_leader() {
    let (mut proposer, entries, now) = (leading(), entries(), Instant::now());
    let ticket = gathered(&mut proposer, now, &entries);
    proposer.step_down();
    assert!(proposer.on_appended(now, ticket.number, Appended::NoQuorum));
    assert_eq!(proposer.retry_at(), None);
    proposer.lead();
    assert!(proposer.next(now, &entries).is_none());
}

#[test]
fn the_queue_is_bounded_in_commands_and_bytes_all_or_none() {
    let mut proposer = leading();
    push(&mut proposer, 0..QUEUE_COMMANDS as u64 - 1);
    let two = [command(0, 1), command(1, 1)];
    assert_eq!(proposer.push(two.iter().cloned()), Err(Overloaded));
    assert_eq!(proposer.queue.len(), QUEUE_COMMANDS - 1);
    assert_eq!(proposer.push(two[..1].iter().cloned()), Ok(()));
    assert_eq!(proposer.push(two[..1].iter().cloned()), Err(Overloaded));

    let mut proposer = leading();
    let large = command(0, QUEUE_BYTES / 2);
    assert_eq!(proposer.push(std::iter::once(large.clone())), Ok(()));
    assert_eq!(proposer.push(std::iter::once(large)), Err(Overloaded));
    proposer.step_down();
    assert_eq!(proposer.queue_bytes, 0);
}
