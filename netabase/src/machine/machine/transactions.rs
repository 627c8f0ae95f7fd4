//! Transactions in `apply`: all or nothing, only on what was read, and named calls once.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::tests::{apply, done, in_memory, open_session, reply};
use super::*;
use crate::command::{Digest, RangeRead, Read, RequestId};
use crate::machine::fixture::{self, Person, RECORDS, index, note_id, person_id, put_note, versions};
use crate::machine::footprint::{Extent, Footprint};
use crate::schema::Plan;
use crate::storage::{Branch, Changes, Place, Selecting, View};

fn conflict() -> Reply {
    Reply::Done(Err(Refusal::Conflict))
}

fn transact(session: SessionId, number: u64, transaction: Transaction) -> Command {
    let action = Action::Transact(Arc::new(transaction));
    Command::Execute { session, number, floor: 1, action }
}

fn writing(writes: Vec<Write>) -> Transaction {
    Transaction { writes, ..Transaction::default() }
}

fn read_person(machine: &Machine, id: u8) -> Read {
    let mut footprint = Footprint::default();
    footprint.get(&Branch::new(machine.store.view()), person_id(), &RECORDS[0], &[id]).expect("memory reads");
    footprint.into_reads().remove(0)
}

fn people(reverse: bool) -> Plan {
    let (lower, upper) = (Bound::Included(vec![2]), Bound::Excluded(vec![5]));
    Plan { record: person_id(), index: None, lower, upper, limit: None, reverse, after: None }
}

fn read_plan(view: View, plan: &Plan) -> Read {
    let mut footprint = Footprint::default();
    footprint.query(&Branch::new(view), plan, &RECORDS[0], Extent::All).expect("few rows");
    footprint.into_reads().remove(0)
}

#[test]
fn all_writes_happen_or_none() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let both = writing(vec![Person::new(1, 10).put(), Person::new(2, 11).put()]);
    assert_eq!(reply(&apply(&mut machine, &[transact(session, 1, both)])), done(2, false));

    let hash = machine.state_hash().expect("memory reads");
    let before = machine.store.view();
    let refused = writing(vec![
        Person::new(3, 12).put(),
        Person::remove(1),
        Person::new(4, 13).insert(),
        Person::new(5, 11).put(),
        Person::new(6, 14).put(),
    ]);
    let commands = [transact(session, 2, refused), fixture::write(session, 3, 1, Person::new(5, 12).insert())];
    let answers = apply(&mut machine, &commands);
    let taken = Refusal::UniqueViolation { record: person_id(), index: index("by_email") };
    assert_eq!(reply(&answers[..1]), Reply::Done(Err(taken)));
    assert_eq!(reply(&answers[1..]), done(3, false), "what a refused transaction wrote is not seen");
    assert_ne!(machine.state_hash().expect("memory reads"), hash);
    let after = machine.store.view();
    for id in [1, 2, 3, 4, 6] {
        let row = |view: &View| view.stored(person_id(), &[id]).expect("memory reads");
        assert_eq!(row(&after), row(&before), "person {id}");
    }
}

#[test]
fn a_transaction_that_is_refused_tells_watchers_nothing() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let (note, refused) = (
        |number, key| fixture::write(session, number, 1, put_note(key)),
        |number| {
            let clash = writing(vec![Person::new(1, 10).put(), Person::new(2, 10).put()]);
            transact(session, number, clash)
        },
    );
    let kept = writing(vec![put_note(3), Person::new(7, 11).put(), put_note(2)]);
    apply(&mut machine, &[note(1, 1), refused(2), transact(session, 3, kept), refused(4), note(5, 4)]);
    let view = machine.store.view();
    let Changes::Page { changes, .. } = view.changes(Place::start_of(1), usize::MAX).expect("memory reads") else {
        panic!("nothing is pruned")
    };
    let told: Vec<_> = changes.iter().map(|(place, change)| (place.position, change.key[0])).collect();
    assert_eq!(told, [(0, 1), (1, 3), (2, 7), (3, 2), (4, 4)], "in the order of application");
}

#[test]
fn a_later_write_sees_an_earlier_one() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    apply(&mut machine, &[fixture::write(session, 1, 1, Person::new(1, 10).put())]);
    // The e-mail is handed on from one to the other.
    let hand_over = writing(vec![Person::new(1, 11).put(), Person::new(2, 10).put()]);
    assert_eq!(reply(&apply(&mut machine, &[transact(session, 2, hand_over)])), done(3, false));
    let only = writing(vec![Person::new(2, 10).put()]);
    assert_eq!(reply(&apply(&mut machine, &[transact(session, 3, only)])), done(4, true));
}

#[test]
fn a_record_that_changed_since_is_a_conflict() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    let absent = read_person(&machine, 1);
    apply(&mut machine, &[fixture::write(session, 1, 1, Person::new(1, 10).put())]);
    let read = read_person(&machine, 1);
    let try_with = |machine: &mut Machine, number, read: &Read| {
        let transaction = Transaction { reads: vec![read.clone()], ..writing(vec![put_note(7)]) };
        reply(&apply(machine, &[transact(session, number, transaction)]))
    };
    assert_eq!(try_with(&mut machine, 2, &absent), conflict());
    assert_eq!(try_with(&mut machine, 3, &read), done(4, false));
    // Changed and changed back is changed.
    apply(&mut machine, &[fixture::write(session, 4, 1, Person::new(1, 10).put())]);
    assert_eq!(try_with(&mut machine, 5, &read), conflict());
    apply(&mut machine, &[fixture::write(session, 6, 1, Person::remove(1))]);
    assert_eq!(try_with(&mut machine, 7, &read), conflict());
    assert_eq!(try_with(&mut machine, 8, &absent), done(9, true), "as it was: there is none");
    assert_eq!(machine.store.view().stored(note_id(), &[7]).expect("memory reads").map(|(round, _)| round), Some(9));
}

#[test]
fn a_row_that_appears_in_a_range_is_a_conflict() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    for id in [1, 2, 6] {
        apply(&mut machine, &[fixture::write(session, id.into(), 1, Person::new(id, id).put())]);
    }
    let by_email = Plan { index: Some(index("by_email")), lower: Bound::Included(vec![2]), ..people(false) };
    let mut number = 10;
    for plan in [people(false), people(true), by_email] {
        let read = read_plan(machine.store.view(), &plan);
        let mut reads_it = |machine: &mut Machine| {
            number += 1;
            let transaction = Transaction { reads: vec![read.clone()], ..writing(vec![put_note(7)]) };
            reply(&apply(machine, &[transact(session, number, transaction)]))
        };
        let mut step = 100;
        let mut does = |machine: &mut Machine, write| {
            step += 1;
            apply(machine, &[fixture::write(session, step, 1, write)]);
        };
        does(&mut machine, Person::new(6, 7).put());
        assert_ne!(reads_it(&mut machine), conflict(), "beyond the range");
        does(&mut machine, Person::new(4, 4).put());
        assert_eq!(reads_it(&mut machine), conflict(), "a phantom");
        does(&mut machine, Person::remove(4));
        assert_ne!(reads_it(&mut machine), conflict());
        does(&mut machine, Person { payload: vec![1], ..Person::new(2, 2) }.put());
        assert_eq!(reads_it(&mut machine), conflict(), "a row of it changed");
        machine = in_memory();
        let session_again = open_session(&mut machine);
        assert_eq!(session_again, session);
        for id in [1, 2, 6] {
            apply(&mut machine, &[fixture::write(session, id.into(), 1, Person::new(id, id).put())]);
        }
    }
}

#[test]
fn a_named_call_is_done_once_by_whomever() {
    let mut machine = in_memory();
    let (first, second) = (open_session(&mut machine), open_session(&mut machine));
    let named = |write| Transaction { request: Some(RequestId([5; 16])), ..writing(vec![write]) };
    assert_eq!(reply(&apply(&mut machine, &[transact(first, 1, named(Person::new(1, 10).insert()))])), done(3, false));
    assert_eq!(reply(&apply(&mut machine, &[transact(second, 1, named(Person::new(1, 10).insert()))])), done(3, false));
    assert_eq!(reply(&apply(&mut machine, &[transact(second, 2, named(Person::remove(1)))])), done(3, false));
    assert!(machine.store.view().stored(person_id(), &[1]).expect("memory reads").is_some());

    // A refusal is an outcome like any other; a conflict is none, since the call runs again.
    let refused = |id| Transaction { request: Some(RequestId([6; 16])), ..writing(vec![Person::new(id, 10).put()]) };
    let taken = reply(&apply(&mut machine, &[transact(first, 2, refused(2))]));
    assert_eq!(reply(&apply(&mut machine, &[transact(first, 3, refused(1))])), taken);
    let read = Read::Record { record: person_id(), key: Bytes::from_static(&[1]), round: 99 };
    let conflicting = Transaction { request: Some(RequestId([7; 16])), reads: vec![read], writes: vec![put_note(1)] };
    assert_eq!(reply(&apply(&mut machine, &[transact(first, 4, conflicting.clone())])), conflict());
    let again = Transaction { reads: Vec::new(), ..conflicting };
    assert_eq!(reply(&apply(&mut machine, &[transact(first, 5, again)])), done(9, false));
}

#[test]
fn whoever_claims_to_have_read_more_than_is_allowed_has_a_conflict() {
    let mut machine = in_memory();
    let session = open_session(&mut machine);
    apply(&mut machine, &[fixture::write(session, 1, 1, Person::new(2, 2).put())]);
    let Read::Range(range) = read_plan(machine.store.view(), &people(false)) else { panic!("another read") };
    let mut number = 1;
    let mut with = |machine: &mut Machine, rows| {
        number += 1;
        let read = Read::Range(RangeRead { seen: Digest { rows, ..range.seen }, ..range.clone() });
        let transaction = Transaction { reads: vec![read], ..writing(vec![put_note(1)]) };
        reply(&apply(machine, &[transact(session, number, transaction)]))
    };
    assert_eq!(with(&mut machine, u64::MAX), conflict());
    assert_eq!(with(&mut machine, 0), conflict());
    assert_ne!(with(&mut machine, 1), conflict());
}

/// What a closure does: reads that are noted, and writes.
#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    Query { index: Option<&'static str>, lower: u8, upper: u8, limit: Option<usize>, reverse: bool },
    Write(Write),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = prop_oneof![Just(None), Just(Some("by_email")), Just(Some("by_city"))];
    let query = (index, 0..6_u8, 0..8_u8, prop::option::of(1..3_usize), any::<bool>())
        .prop_map(|(index, lower, upper, limit, reverse)| Step::Query { index, lower, upper, limit, reverse });
    let step = prop_oneof![(0..6_u8).prop_map(Step::Get), query, writes().prop_map(Step::Write)];
    prop::collection::vec(step, 1..5)
}

fn writes() -> impl Strategy<Value = Write> {
    let person = (1..6_u8, 1..7_u8, prop::option::of(1..4_u8))
        .prop_map(|(id, email, city)| Person { city, ..Person::new(id, email) });
    prop_oneof![
        3 => person.clone().prop_map(|person| person.put()),
        1 => person.prop_map(|person| person.insert()),
        1 => (1..6_u8).prop_map(Person::remove),
    ]
}

/// Runs the steps over a view: everything that they saw, and the transaction.
fn run(rule: &Rule, view: View, steps: &[Step]) -> (Vec<String>, Transaction) {
    let glue = &RECORDS[0];
    let mut branch = Branch::new(view);
    let (mut seen, mut writes, mut footprint) = (Vec::new(), Vec::new(), Footprint::default());
    for step in steps {
        match step {
            Step::Get(id) => {
                seen.push(format!(
                    "{:?}",
                    footprint.get(&branch, person_id(), &RECORDS[0], &[*id]).expect("memory reads")
                ));
            }
            Step::Query { index: name, lower, upper, limit, reverse } => {
                let plan = Plan {
                    record: person_id(),
                    index: name.map(index),
                    lower: Bound::Included(vec![*lower.min(upper)]),
                    upper: Bound::Excluded(vec![*lower.max(upper)]),
                    limit: *limit,
                    reverse: *reverse,
                    after: None,
                };
                let (found, _) = footprint.query(&branch, &plan, glue, Extent::All).expect("few rows");
                seen.push(format!("{found:?}"));
            }
            Step::Write(write) => {
                let (rows, outcome) = rule.apply(&branch, &versions(), write, 99).expect("memory reads");
                match &outcome {
                    Ok(_) => {
                        branch.write(rows);
                        writes.push(write.clone());
                    }
                    Err(refusal) => {
                        footprint.refused(&branch, write, refusal, glue).expect("few rows");
                        seen.push(format!("{refusal:?}"));
                    }
                }
            }
        }
    }
    (seen, Transaction { request: None, reads: footprint.into_reads(), writes })
}

proptest! {
    // The rare case is a refusal that others take back before the commit.
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    /// A transaction that is applied would have seen the same if it had run just before.
    #[test]
    fn what_commits_is_serialisable(
        before in prop::collection::vec(writes(), 0..8),
        steps in steps(),
        meanwhile in prop::collection::vec(writes(), 0..4),
    ) {
        let mut machine = in_memory();
        let session = open_session(&mut machine);
        let mut number = 0;
        let mut does = |machine: &mut Machine, write| {
            number += 1;
            apply(machine, &[fixture::write(session, number, 1, write)]);
        };
        before.into_iter().for_each(|write| does(&mut machine, write));
        let (seen, transaction) = run(&machine.rule, machine.store.view(), &steps);
        meanwhile.into_iter().for_each(|write| does(&mut machine, write));
        let (seen_now, now) = run(&machine.rule, machine.store.view(), &steps);
        let read_the_same = transaction.reads == now.reads;
        let reply = reply(&apply(&mut machine, &[transact(session, 1_000, transaction)]));
        if matches!(reply, Reply::Done(Ok(_))) {
            prop_assert_eq!(seen, seen_now);
        }
        prop_assert!(reply != conflict() || !read_the_same, "a conflict without a change");
    }
}
