//! The way of a command from the caller's side. Time that decides what is sent is an argument; time that a caller waits
//! is tokio's, paused.

use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use futures::poll;

use super::*;
use crate::command::Write;
use crate::schema::RecordId;
use crate::testing::fixture::Item;

const TIMEOUT: Duration = Duration::from_secs(10);
const SESSION: SessionId = SessionId { round: 1, position: 0 };

type Submitted = Pin<Box<dyn Future<Output = Result<Applied>>>>;

struct Desk {
    submitter: Arc<Submitter>,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let catalog = Catalog::of::<Item>().unwrap();
        Desk { submitter: Arc::new(Submitter::new(catalog, TIMEOUT)), now: Instant::now() }
    }

    /// A desk whose session is open.
    async fn open() -> Self {
        let desk = Desk::new();
        let mut first = desk.submit().await;
        desk.open_session(SESSION);
        assert_eq!(desk.take_numbers(), [(0, 0)]);
        desk.done(SESSION, 0);
        assert!(ended(&mut first).await.is_ok());
        desk
    }

    async fn submit(&self) -> Submitted {
        let write = Write::Put { record: RecordId(1), value: Bytes::from_static(b"value") };
        let mut submitted: Submitted = Box::pin(Arc::clone(&self.submitter).submit(write));
        // A task that polls this often without a pause is told to wait.
        tokio::task::yield_now().await;
        assert!(poll!(submitted.as_mut()).is_pending());
        submitted
    }

    fn take(&self) -> Vec<Outgoing> {
        self.submitter.take(self.now, 10_000, 1 << 20)
    }

    /// The (number, floor) of what goes out now.
    fn take_numbers(&self) -> Vec<(u64, u64)> {
        self.take().iter().map(number_and_floor).collect()
    }

    fn open_session(&self, session: SessionId) {
        let outgoing = self.take();
        let [Outgoing { whose: Whose::Opening, command }] = &outgoing[..] else {
            panic!("an opening, alone: {outgoing:?}")
        };
        let Ok(Command::Open { nonce }) = Command::decode(command.as_bytes().clone()) else { panic!("{command:?}") };
        self.submitter.on_answers(vec![Answer::Opened { nonce, session }]);
    }

    fn reply(&self, session: SessionId, number: u64, reply: Reply) {
        self.submitter.on_answers(vec![Answer::Write { session, number, reply }]);
    }

    fn done(&self, session: SessionId, number: u64) {
        self.reply(session, number, Reply::Done(Ok(Applied { round: number + 10, existed: false })));
    }
}

fn number_and_floor(outgoing: &Outgoing) -> (u64, u64) {
    match Command::decode(outgoing.command.as_bytes().clone()) {
        Ok(Command::Execute { number, floor, .. }) => {
            assert_eq!(outgoing.whose, Whose::Own(number));
            (number, floor)
        }
        other => panic!("not a write: {other:?}"),
    }
}

/// What a command that has just been answered ended in.
async fn ended(submitted: &mut Submitted) -> Result<Applied> {
    match poll!(submitted.as_mut()) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it was answered"),
    }
}

async fn waits(submitted: &mut Submitted) -> bool {
    poll!(submitted.as_mut()).is_pending()
}

#[tokio::test(start_paused = true)]
async fn the_session_opens_first_alone_and_with_one_nonce() {
    let mut desk = Desk::new();
    assert!(desk.take().is_empty(), "nobody needs a session yet");
    let mut waiting = desk.submit().await;
    let opening = desk.take();
    let [Outgoing { whose: Whose::Opening, command }] = &opening[..] else { panic!("{opening:?}") };
    assert!(desk.take().is_empty());
    desk.submitter.on_answers(vec![Answer::Opened { nonce: [9; 16], session: SESSION }]);
    assert!(desk.take().is_empty(), "another's session");
    desk.now += SEND_AGAIN;
    assert_eq!(desk.take()[0].command, *command);
    desk.submitter.not_taken(&opening);
    assert!(waits(&mut waiting).await, "the command itself went nowhere yet");
    desk.open_session(SESSION);
    assert_eq!(desk.take_numbers(), [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn numbers_are_given_once_and_the_floor_is_the_lowest_awaited() {
    let desk = Desk::open().await;
    let mut one = desk.submit().await;
    let mut two = desk.submit().await;
    let mut three = desk.submit().await;
    assert_eq!(desk.take_numbers(), [(1, 1), (2, 1), (3, 1)]);
    desk.done(SESSION, 2);
    assert_eq!(ended(&mut two).await.unwrap(), Applied { round: 12, existed: false });
    desk.done(SESSION, 2);
    let _four = desk.submit().await;
    assert_eq!(desk.take_numbers(), [(4, 1)], "1 is still awaited");
    desk.done(SESSION, 1);
    assert!(ended(&mut one).await.is_ok());
    drop(three);
    let _five = desk.submit().await;
    assert_eq!(desk.take_numbers(), [(5, 4)], "whoever gives up waiting holds up nobody");
    three = desk.submit().await;
    assert_eq!(desk.take_numbers(), [(6, 4)]);
    assert!(waits(&mut three).await);
}

#[tokio::test(start_paused = true)]
async fn a_command_is_sent_again_under_its_number_and_answered_once() {
    let mut desk = Desk::open().await;
    let mut waiting = desk.submit().await;
    let first = desk.take();
    desk.now += SEND_AGAIN - Duration::from_millis(1);
    assert!(desk.take().is_empty());
    desk.now += Duration::from_millis(1);
    assert_eq!(desk.take_numbers(), [(1, 1)]);
    desk.submitter.send_all_again();
    assert_eq!(desk.take()[0].command, first[0].command, "the same bytes: the machine knows it again");
    desk.done(SESSION, 1);
    assert!(ended(&mut waiting).await.is_ok());
    desk.submitter.send_all_again();
    assert!(desk.take().is_empty());
    desk.done(SESSION, 1);
}

#[tokio::test(start_paused = true)]
async fn not_taken_is_no_quorum_only_for_what_nobody_else_may_have_taken() {
    let mut desk = Desk::open().await;
    let mut never = desk.submit().await;
    let outgoing = desk.take();
    desk.submitter.not_taken(&outgoing);
    desk.submitter.fail_unproposed();
    assert!(matches!(ended(&mut never).await, Err(Error::NoQuorum)));

    let mut maybe = desk.submit().await;
    desk.take();
    desk.now += SEND_AGAIN;
    let second = desk.take();
    desk.submitter.not_taken(&second);
    desk.submitter.fail_unproposed();
    assert!(waits(&mut maybe).await, "the first time it may have been taken");
    assert_eq!(desk.take_numbers(), [(2, 2)]);
    assert!(matches!(maybe.await, Err(Error::Timeout)));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_taken_ends_as_not_happened_and_the_rest_as_unknown() {
    let desk = Desk::open().await;
    let refused = desk.submit().await;
    let outgoing = desk.take();
    desk.submitter.not_taken(&outgoing);
    let taken = desk.submit().await;
    let outgoing = desk.take();
    assert_eq!(outgoing.len(), 2, "it goes out again at once");
    desk.submitter.not_taken(&outgoing[..1]);
    let error = refused.await.unwrap_err();
    assert!(matches!(error, Error::NoQuorum) && !error.may_have_happened());
    let error = taken.await.unwrap_err();
    assert!(matches!(error, Error::Timeout) && error.may_have_happened());
    assert!(desk.submitter.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_known_trouble_is_told_instead_of_no_quorum() {
    let desk = Desk::open().await;
    let trouble: Trouble = Arc::new(|| Error::NotAuthorized { reason: "other founders".into() });
    desk.submitter.set_trouble(Some(trouble));
    let waiting = desk.submit().await;
    assert!(matches!(waiting.await, Err(Error::NotAuthorized { .. })));
    desk.submitter.set_trouble(None);
    let waiting = desk.submit().await;
    assert!(matches!(waiting.await, Err(Error::NoQuorum)));
}

/// Under a forgotten session a command that was sent may have been applied: a new session must not carry it.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_gone_ends_what_was_sent_and_keeps_what_was_not() {
    let desk = Desk::open().await;
    let mut sent = desk.submit().await;
    desk.take();
    let mut unsent = desk.submit().await;
    desk.reply(SESSION, 1, Reply::SessionGone);
    assert!(matches!(ended(&mut sent).await, Err(Error::Timeout)));
    let next = SessionId { round: 50, position: 3 };
    desk.open_session(next);
    assert_eq!(desk.take_numbers(), [(2, 2)], "1 is never sent anew");
    desk.done(SESSION, 2);
    assert!(waits(&mut unsent).await, "an answer of the session before");
    desk.done(next, 2);
    assert!(ended(&mut unsent).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stale_copy_says_nothing_and_one_too_far_ahead_goes_out_again() {
    let desk = Desk::open().await;
    let mut waiting = desk.submit().await;
    desk.take();
    desk.reply(SESSION, 1, Reply::Stale);
    assert!(waits(&mut waiting).await && desk.take().is_empty());
    desk.reply(SESSION, 1, Reply::TooFarAhead);
    assert!(waits(&mut waiting).await);
    assert_eq!(desk.take_numbers(), [(1, 1)]);
}

/// While the lowest number waited to be sent again, all that came 1,024 numbers after it were refused by the machine
/// and went out again at once: the log filled with refusals.
#[tokio::test(start_paused = true)]
async fn what_the_machine_would_refuse_as_too_far_ahead_is_not_sent() {
    let desk = Desk::open().await;
    let _lowest = desk.submit().await;
    let mut second = desk.submit().await;
    let last = OUTSTANDING_MAX as u64;
    let mut others = Vec::new();
    for _ in 3..=last {
        others.push(desk.submit().await);
    }
    assert_eq!(desk.take_numbers().len(), OUTSTANDING_MAX);
    desk.done(SESSION, 2);
    assert!(ended(&mut second).await.is_ok());
    drop(second);
    let _beyond = desk.submit().await;
    assert_eq!(desk.take_numbers(), []);
    desk.done(SESSION, 1);
    assert_eq!(desk.take_numbers(), [(last + 1, 3)]);
}

#[tokio::test(start_paused = true)]
async fn so_many_wait_for_their_turn() {
    let desk = Desk::open().await;
    let mut waiting = Vec::new();
    for _ in 0..OUTSTANDING_MAX {
        waiting.push(desk.submit().await);
    }
    let mut one_more = desk.submit().await;
    assert_eq!(desk.take_numbers().len(), OUTSTANDING_MAX);
    desk.done(SESSION, 1);
    assert!(ended(&mut waiting[0]).await.is_ok());
    drop(waiting.remove(0));
    assert!(waits(&mut one_more).await);
    assert_eq!(desk.take_numbers(), [(OUTSTANDING_MAX as u64 + 1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_page_is_bounded_and_the_rest_is_announced() {
    let desk = Desk::open().await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(desk.submit().await);
    }
    desk.submitter.woken().await;
    let page = |commands_max, bytes_max| desk.submitter.take(desk.now, commands_max, bytes_max).len();
    assert_eq!(page(2, 1 << 20), 2);
    desk.submitter.woken().await;
    assert_eq!(page(10, 1), 1);
    desk.submitter.woken().await;
    assert_eq!(page(10, 1 << 20), 2);
    assert_eq!(page(10, 1 << 20), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_desk_says_what_may_have_happened() {
    let desk = Desk::open().await;
    let mut sent = desk.submit().await;
    desk.take();
    let mut unsent = desk.submit().await;
    let broken = || Error::Storage { reason: "the disk".into(), source: None };
    desk.submitter.close(broken);
    assert!(matches!(ended(&mut sent).await, Err(Error::ConnectionLost)));
    assert!(matches!(ended(&mut unsent).await, Err(Error::Storage { .. })));
    let write = Write::Remove { record: RecordId(1), key: Bytes::new() };
    assert!(
        matches!(Arc::clone(&desk.submitter).submit(write).await, Err(Error::Storage { .. })),
        "it says why it ended"
    );
}

#[tokio::test(start_paused = true)]
async fn new_commands_are_refused_for_as_long_as_there_is_a_reason() {
    let desk = Desk::open().await;
    let mut before = desk.submit().await;
    desk.submitter.refuse(Some(Arc::new(|| Error::Storage { reason: "the disk is nearly full".into(), source: None })));
    let write = || Write::Remove { record: RecordId(1), key: Bytes::new() };
    assert!(matches!(Arc::clone(&desk.submitter).submit(write()).await, Err(Error::Storage { .. })));
    assert_eq!(desk.take_numbers(), [(1, 1)], "what was taken goes on");
    desk.done(SESSION, 1);
    assert!(ended(&mut before).await.is_ok());
    desk.submitter.refuse(None);
    drop(desk.submit().await);
}
