//! Exactly once: by hand, and against a model that keeps plain lists.

use proptest::prelude::*;

use super::*;
use crate::command::{Applied, Refusal};
use crate::schema::RecordId;
use crate::storage::{Engine, MemoryEngine, Store};

const SMALL: Limits = Limits { sessions_max: 3, outcomes_bytes_max: 10 * OUTCOME_BYTES, requests_max: 3 };

fn place(round: u64) -> Place {
    Place { round, position: 0 }
}

fn done(round: u64) -> Outcome {
    Ok(Applied { round, existed: false })
}

fn small() -> Sessions {
    Sessions { limits: SMALL, ..Sessions::default() }
}

/// A write at `round`, executed if it is admitted.
fn write(sessions: &mut Sessions, id: SessionId, number: u64, floor: u64, round: u64) -> Admission {
    let admission = sessions.admit(id, number, floor, place(round));
    if admission == Admission::Execute {
        sessions.record(id, number, done(round));
    }
    admission
}

fn replied(reply: Reply) -> Admission {
    Admission::Answer(reply)
}

#[test]
fn a_copy_gets_the_outcome_of_the_first() {
    let mut sessions = small();
    let id = sessions.open(place(1));
    assert_eq!(id, SessionId { round: 1, position: 0 });
    assert_eq!(write(&mut sessions, id, 1, 1, 2), Admission::Execute);
    assert_eq!(write(&mut sessions, id, 1, 1, 3), replied(Reply::Done(done(2))));
    let refused = Err(Refusal::AlreadyExists { record: RecordId(1) });
    assert_eq!(sessions.admit(id, 2, 1, place(4)), Admission::Execute);
    sessions.record(id, 2, refused.clone());
    assert_eq!(write(&mut sessions, id, 2, 1, 5), replied(Reply::Done(refused)), "refusals are kept too");
}

#[test]
fn the_floor_rises_and_what_is_below_is_stale() {
    let mut sessions = small();
    let id = sessions.open(place(1));
    for number in 1..=4 {
        assert_eq!(write(&mut sessions, id, number, 1, 1 + number), Admission::Execute);
    }
    assert_eq!(sessions.outcomes_bytes, 4 * OUTCOME_BYTES);
    assert_eq!(write(&mut sessions, id, 5, 4, 6), Admission::Execute);
    assert_eq!(sessions.outcomes_bytes, 2 * OUTCOME_BYTES);
    assert_eq!(write(&mut sessions, id, 3, 1, 7), replied(Reply::Stale));
    // A late copy with a lower floor does not bring it down again.
    assert_eq!(write(&mut sessions, id, 4, 1, 8), replied(Reply::Done(done(5))));
    assert_eq!(write(&mut sessions, id, 3, 3, 9), replied(Reply::Stale));
    // Below its own floor: never sent by a session in its right mind, and never executed.
    assert_eq!(write(&mut sessions, id, 6, 9, 10), replied(Reply::Stale));
}

/// Judged by the session's floor, the copy would be executed after its sender was told that it never is.
#[test]
fn a_write_too_far_above_its_floor_is_refused_for_good() {
    let mut sessions = small();
    let id = sessions.open(place(1));
    let too_far = 1 + OUTSTANDING_MAX;
    assert_eq!(write(&mut sessions, id, too_far - 1, 1, 2), Admission::Execute);
    assert_eq!(write(&mut sessions, id, too_far, 1, 3), replied(Reply::TooFarAhead));
    assert_eq!(write(&mut sessions, id, too_far + 1, 2 + 1, 4), Admission::Execute);
    assert_eq!(write(&mut sessions, id, too_far, 1, 5), replied(Reply::TooFarAhead));
    assert_eq!(write(&mut sessions, id, u64::MAX, 0, 6), replied(Reply::TooFarAhead));
    assert_eq!(write(&mut sessions, id, u64::MAX, u64::MAX, 7), Admission::Execute);
}

#[test]
fn the_least_recently_used_in_log_order_ends_first() {
    let mut sessions = small();
    let [first, second, third] = [1, 2, 3].map(|round| sessions.open(place(round)));
    assert_eq!(write(&mut sessions, first, 1, 1, 4), Admission::Execute);
    // A copy that is not executed is a use all the same.
    assert_eq!(write(&mut sessions, second, 1, 1, 5), Admission::Execute);
    assert_eq!(write(&mut sessions, first, 1, 1, 6), replied(Reply::Done(done(4))));
    let fourth = sessions.open(place(7));
    assert_eq!(write(&mut sessions, third, 1, 1, 8), replied(Reply::SessionGone));
    let _fifth = sessions.open(place(9));
    assert_eq!(write(&mut sessions, second, 1, 1, 10), replied(Reply::SessionGone));
    assert_eq!(write(&mut sessions, first, 2, 1, 11), Admission::Execute);
    assert_eq!(write(&mut sessions, fourth, 1, 1, 12), Admission::Execute);
}

#[test]
fn too_many_outcome_bytes_end_the_least_recently_used() {
    let mut sessions = small();
    let (first, second) = (sessions.open(place(1)), sessions.open(place(2)));
    for number in 1..=5 {
        write(&mut sessions, first, number, 1, 10 + number);
        write(&mut sessions, second, number, 1, 20 + number);
    }
    assert_eq!(sessions.outcomes_bytes, SMALL.outcomes_bytes_max);
    assert_eq!(write(&mut sessions, second, 6, 1, 30), Admission::Execute);
    assert_eq!(write(&mut sessions, first, 6, 1, 31), replied(Reply::SessionGone));
    assert_eq!(sessions.outcomes_bytes, 6 * OUTCOME_BYTES);
    // Alone it stays, whatever it keeps.
    for number in 7..=20 {
        assert_eq!(write(&mut sessions, second, number, 1, 40 + number), Admission::Execute);
    }
    // A reason counts as much as a long one, whatever its words are: two programs may say it otherwise.
    let id = sessions.open(place(99));
    sessions.admit(id, 2, 1, place(100));
    let reasons = ["x", "another, longer reason"].map(|words| Refusal::undecodable(RecordId(1), words.to_owned()));
    let [short, long] = reasons.map(|reason| OUTCOME_BYTES + reason.reason_bytes());
    assert_eq!(short, long);
    sessions.record(id, 1, Err(Refusal::undecodable(RecordId(1), "x".to_owned())));
    assert_eq!(sessions.outcomes_bytes, short);
}

#[test]
fn a_closed_session_is_gone() {
    let mut sessions = small();
    let id = sessions.open(place(1));
    write(&mut sessions, id, 1, 1, 2);
    sessions.close(id);
    sessions.close(id);
    assert_eq!(write(&mut sessions, id, 1, 1, 3), replied(Reply::SessionGone));
    assert_eq!((sessions.outcomes_bytes, sessions.by_use.len()), (0, 0));
    assert_eq!(write(&mut sessions, SessionId { round: 0, position: 9 }, 1, 1, 3), replied(Reply::SessionGone));
}

/// The bounds are such that a session is never ended by its own write.
#[test]
fn one_session_is_far_below_the_bound_of_all() {
    let largest = OUTCOME_BYTES + Refusal::undecodable(RecordId(1), "x".repeat(10_000)).reason_bytes();
    assert!(OUTSTANDING_MAX as usize * largest < OUTCOMES_BYTES_MAX / 10);
}

#[test]
fn what_is_captured_stays_while_the_session_goes_on() {
    let mut sessions = small();
    let id = sessions.open(place(1));
    let ended = sessions.open(place(2));
    assert_eq!(sessions.take_dirty().len(), 2);
    write(&mut sessions, id, 1, 1, 3);
    sessions.close(ended);
    let captured = sessions.take_dirty();
    let rows: Vec<_> = captured.iter().map(|captured| row(captured).expect("it encodes")).collect();
    write(&mut sessions, id, 2, 2, 4);
    assert_eq!(captured.iter().map(|captured| row(captured).expect("it encodes")).collect::<Vec<_>>(), rows);
    assert_eq!(captured[1], (ended, None));
    assert_eq!(sessions.take_dirty().len(), 1);
    assert_eq!(sessions.take_dirty(), []);
}

fn store_with(rows: Vec<(Bytes, Option<Bytes>)>) -> Store {
    let engine = std::sync::Arc::new(MemoryEngine::default());
    drop(Store::open(engine.clone()).expect("it opens"));
    engine.write(&mut rows.into_iter(), true).expect("memory");
    Store::open(engine).expect("it opens")
}

#[test]
fn damaged_session_rows_are_refused() {
    let session = Session { used: place(1), floor: 0, outcomes: BTreeMap::new() };
    let bytes = Bytes::from(codec::encode(&session).expect("it encodes"));
    let load = |rows: &[(Bytes, &Bytes)]| {
        let rows = rows.iter().map(|(key, value)| (key.clone(), Some((*value).clone()))).collect();
        Sessions::load(&store_with(rows).view(), SMALL)
    };
    assert!(load(&[(layout::session_key(1, 0), &bytes)]).is_ok());
    let short_key = Bytes::from_static(&[layout::SPACE_SESSION, 1]);
    for damage in [
        load(&[(short_key, &bytes)]),
        load(&[(layout::session_key(1, 0), &bytes.slice(1..))]),
        load(&[(layout::session_key(1, 0), &Bytes::from_static(b"\xff\xff\xff\xff"))]),
        load(&[(layout::session_key(1, 0), &bytes), (layout::session_key(2, 0), &bytes)]),
    ] {
        assert!(matches!(damage, Err(Error::DataDirectory { .. })));
    }
}

/// Id, floor, outcomes.
type ModelSession = (SessionId, u64, Vec<(u64, Outcome)>);

/// Sessions as plain lists, the most recently used last.
#[derive(Default)]
struct Model {
    sessions: Vec<ModelSession>,
}

impl Model {
    fn open(&mut self, place: Place) -> SessionId {
        if self.sessions.len() == SMALL.sessions_max {
            self.sessions.remove(0);
        }
        let id = SessionId { round: place.round, position: place.position };
        self.sessions.push((id, 0, Vec::new()));
        id
    }

    fn write(&mut self, id: SessionId, number: u64, floor: u64, round: u64) -> Admission {
        let Some(at) = self.sessions.iter().position(|session| session.0 == id) else {
            return replied(Reply::SessionGone);
        };
        let mut session = self.sessions.remove(at);
        session.1 = session.1.max(floor);
        session.2.retain(|(kept, _)| *kept >= session.1);
        let known = session.2.iter().find(|(kept, _)| *kept == number).map(|(_, outcome)| outcome.clone());
        let admission = match known {
            _ if number < session.1 => replied(Reply::Stale),
            _ if number >= floor + OUTSTANDING_MAX => replied(Reply::TooFarAhead),
            Some(outcome) => replied(Reply::Done(outcome)),
            None => {
                session.2.push((number, done(round)));
                Admission::Execute
            }
        };
        self.sessions.push(session);
        let kept = |model: &Model| model.sessions.iter().map(|session| session.2.len()).sum::<usize>();
        while admission == Admission::Execute && kept(self) > 10 && self.sessions.len() > 1 {
            self.sessions.remove(0);
        }
        admission
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Close(usize),
    Write {
        session: usize,
        number: u64,
        floor: u64,
    },
    /// All through their rows and back.
    Reload,
}

proptest! {
    #[test]
    fn sessions_agree_with_the_model(steps in prop::collection::vec(prop_oneof![
        1 => Just(Step::Open),
        1 => (0..6_usize).prop_map(Step::Close),
        1 => Just(Step::Reload),
        12 => (0..6_usize, 0..12_u64, 0..10_u64, 0..20_u8).prop_map(|(session, number, floor, far)| {
            let number = if far == 0 { number + OUTSTANDING_MAX } else { number };
            Step::Write { session, number, floor }
        }),
    ], 1..120)) {
        let (mut sessions, mut model) = (small(), Model::default());
        let mut rows: BTreeMap<Bytes, Bytes> = BTreeMap::new();
        // From the first on there are six, most of them gone at any time.
        let mut ids = [SessionId { round: 0, position: 0 }; 6];
        for (round, step) in (1..).zip(steps) {
            match step {
                Step::Open => {
                    let id = sessions.open(place(round));
                    prop_assert_eq!(id, model.open(place(round)));
                    ids.rotate_left(1);
                    ids[5] = id;
                }
                Step::Close(session) => {
                    sessions.close(ids[session]);
                    model.sessions.retain(|(id, ..)| *id != ids[session]);
                }
                Step::Write { session, number, floor } => {
                    let id = ids[session];
                    let ours = write(&mut sessions, id, number, floor, round);
                    prop_assert_eq!(ours, model.write(id, number, floor, round));
                }
                Step::Reload => {
                    for captured in sessions.take_dirty() {
                        match row(&captured).expect("it encodes") {
                            (key, Some(value)) => rows.insert(key, value),
                            (key, None) => rows.remove(&key),
                        };
                    }
                    let all = rows.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
                    let loaded = Sessions::load(&store_with(all).view(), SMALL).expect("its own rows");
                    prop_assert_eq!(loaded.capture(), sessions.capture());
                    prop_assert_eq!(loaded.outcomes_bytes, sessions.outcomes_bytes);
                    prop_assert_eq!(&loaded.by_use, &sessions.by_use);
                    sessions = loaded;
                }
            }
        }
    }
}
