use bytes::Bytes;
use futures::FutureExt as _;

use super::*;
use crate::command::{Applied, Write};
use crate::machine::Reply;
use crate::schema::RecordId;

const SESSION: SessionId = SessionId { round: 7, position: 0 };

fn command(number: u64) -> (Name, EncodedCommand) {
    let write = Write::Put { record: RecordId(1), value: Bytes::from_static(b"value") };
    let command = Command::Execute { session: SESSION, number, floor: 0, action: write.into() };
    (Name::of(&command).expect("a client may write"), command.encode())
}

fn relay() -> Arc<Relay> {
    Arc::new(Relay::new(Arc::default()))
}

fn submit(relay: &Arc<Relay>, number: u64) -> Relayed {
    let (name, command) = command(number);
    relay.submit(name, command).expect("there is room")
}

fn take(relay: &Relay) -> Vec<Ticket> {
    let mut outgoing = Vec::new();
    relay.take(usize::MAX, usize::MAX, &mut outgoing);
    let ticket = |outgoing: Outgoing| match outgoing.whose {
        Whose::Client(ticket) => ticket,
        other => panic!("{other:?}"),
    };
    outgoing.into_iter().map(ticket).collect()
}

fn done(number: u64) -> Answer {
    Answer::Write { session: SESSION, number, reply: Reply::Done(Ok(Applied { round: 9, existed: false })) }
}

#[test]
fn whoever_waits_for_a_name_hears_of_any_copy() {
    let relay = relay();
    let mut copies = [submit(&relay, 1), submit(&relay, 1), submit(&relay, 2)];
    assert_eq!(take(&relay).len(), 3);
    assert!(take(&relay).is_empty(), "handed over once");
    relay.on_answers(&[done(3), done(1)]);
    let fates = copies.each_mut().map(|copy| copy.settled().now_or_never().flatten());
    assert_eq!(fates, [Some(Fate::Applied(done(1))), Some(Fate::Applied(done(1))), None]);
}

#[test]
fn only_what_nobody_was_handed_is_not_taken() {
    let relay = relay();
    let [handed, refused, again, queued] = [1, 2, 3, 4].map(|number| submit(&relay, number));
    let mut outgoing = Vec::new();
    relay.take(3, usize::MAX, &mut outgoing);
    relay.not_taken(refused.ticket);
    relay.not_taken(again.ticket);
    assert_eq!(take(&relay), [queued.ticket, refused.ticket, again.ticket]);
    relay.not_taken(refused.ticket);
    relay.not_taken(queued.ticket);
    assert_eq!(
        [handed, refused, again, queued].map(Relayed::give_up),
        [Outlook::Unknown, Outlook::NotTaken, Outlook::Unknown, Outlook::NotTaken]
    );
    assert!(take(&relay).is_empty(), "nobody waits for it");
}

#[test]
fn another_leader_gets_everything_again_in_order() {
    let relay = relay();
    let waiting: Vec<Relayed> = (0..40).map(|number| submit(&relay, number)).collect();
    assert_eq!(take(&relay).len(), 40);
    relay.send_all_again();
    relay.send_all_again();
    assert_eq!(take(&relay), waiting.iter().map(|relayed| relayed.ticket).collect::<Vec<_>>());
}

#[test]
fn without_a_quorum_what_was_not_handed_over_ends() {
    let relay = relay();
    let mut handed = submit(&relay, 1);
    take(&relay);
    let mut queued = submit(&relay, 2);
    relay.fail_unproposed();
    assert_eq!(queued.settled().now_or_never().flatten(), Some(Fate::NoQuorum));
    assert!(handed.settled().now_or_never().is_none());
}

#[test]
fn it_is_bounded_and_nothing_stays_behind() {
    let relay = relay();
    let waiting: Vec<Relayed> = (0..COMMANDS_MAX as u64).map(|number| submit(&relay, number)).collect();
    let (name, bytes) = command(9);
    assert_eq!(relay.submit(name, bytes).map(drop), Err(Full { limit: COMMANDS_MAX }));
    drop(waiting);
    let state = relay.state();
    assert_eq!((state.waiting.len(), state.named.len(), state.bytes), (0, 0, 0));
    assert!(state.queue.len() <= 16, "{}", state.queue.len());
    drop(state);
    relay.close();
    let (name, bytes) = command(9);
    assert!(relay.submit(name, bytes).is_err());
}
