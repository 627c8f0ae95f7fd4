use std::time::{Duration, Instant};

use super::{Call, Model, Op, Outcome, Registers, check, parts};
use crate::testing::Random;

type History = Vec<Call<Registers>>;

fn call(called: u64, returned: u64, op: Op, outcome: Outcome) -> Call<Registers> {
    Call { client: 0, op, called, returned: Some((returned, outcome)) }
}

fn unknown(called: u64, op: Op) -> Call<Registers> {
    Call { client: 0, op, called, returned: None }
}

fn put(called: u64, returned: u64, value: u64) -> Call<Registers> {
    call(called, returned, Op::Put(1, value), Outcome::Existed(true))
}

fn get(called: u64, returned: u64, value: u64) -> Call<Registers> {
    call(called, returned, Op::Get(1), Outcome::Value(Some(value)))
}

fn first(value: u64) -> Call<Registers> {
    call(0, 1, Op::Put(1, value), Outcome::Existed(false))
}

#[test]
fn what_happened_in_some_order_is_linearizable() {
    for history in [
        vec![],
        vec![unknown(0, Op::Put(1, 1))],
        vec![first(1), put(2, 9, 2), get(3, 4, 1), get(5, 6, 2)],
        vec![first(1), put(2, 9, 2), get(3, 8, 2), get(4, 7, 1)],
        // It timed out: it happens later, earlier, or never.
        vec![first(1), unknown(2, Op::Put(1, 2)), get(3, 4, 1), get(5, 6, 2)],
        vec![first(1), unknown(2, Op::Put(1, 2)), get(3, 4, 2), get(5, 6, 2)],
        vec![first(1), unknown(2, Op::Put(1, 2)), get(3, 4, 1), get(5, 6, 1)],
        vec![unknown(0, Op::Insert(1, 2)), call(1, 2, Op::Insert(1, 3), Outcome::Refused), get(3, 4, 2)],
        vec![
            first(1),
            call(2, 5, Op::Remove(1), Outcome::Existed(true)),
            call(2, 5, Op::Insert(1, 2), Outcome::Refused),
        ],
    ] {
        check(&history).unwrap();
    }
}

#[test]
fn what_no_order_explains_is_found() {
    for history in [
        // Stale, lost, back again, out of nothing, too early.
        vec![first(1), put(2, 3, 2), get(4, 5, 1)],
        vec![first(1), call(2, 3, Op::Get(1), Outcome::Value(None))],
        vec![first(1), put(2, 9, 2), get(3, 4, 2), get(5, 6, 1)],
        vec![first(1), unknown(2, Op::Put(1, 2)), get(3, 4, 2), get(5, 6, 1)],
        vec![first(1), get(2, 3, 7)],
        vec![first(1), get(2, 3, 2), unknown(4, Op::Put(1, 2))],
        vec![first(1), call(2, 3, Op::Insert(1, 2), Outcome::Existed(false))],
        vec![first(1), call(2, 3, Op::Remove(1), Outcome::Existed(false))],
        // Applied twice.
        vec![first(1), call(2, 3, Op::Remove(1), Outcome::Existed(true)), get(4, 5, 1)],
    ] {
        assert!(check(&history).is_err(), "{history:?}");
    }
}

#[test]
fn transactions_join_keys() {
    let transact = |called, returned, reads: &[(u64, Option<u64>)], writes: &[(u64, Option<u64>)]| {
        let op = Op::Transact { reads: reads.to_vec(), writes: writes.to_vec() };
        call(called, returned, op, Outcome::Committed)
    };
    let value = |key, called, value| call(called, called + 1, Op::Get(key), Outcome::Value(value));
    let both = transact(0, 10, &[], &[(1, Some(1)), (2, Some(1))]);
    check(&[both.clone(), value(1, 2, None), value(2, 4, Some(1)), value(1, 6, Some(1))]).unwrap();
    // Each key alone is fine, the two together are not.
    assert!(check(&[both.clone(), value(1, 2, Some(1)), value(2, 4, None)]).is_err());
    // Write skew: each has read what the other has changed.
    let skew = [transact(0, 9, &[(1, None)], &[(2, Some(1))]), transact(0, 9, &[(2, None)], &[(1, Some(1))])];
    assert!(check(&skew).is_err());
    let apart = [first(1), value(2, 0, None), value(3, 0, None), transact(4, 5, &[(3, None)], &[(2, None)])];
    assert_eq!(parts(&apart).len(), 2);
}

/// Tries every order of every choice of calls that includes those with a known outcome.
fn brute_force(history: &History, state: &Registers, placed: &mut Vec<usize>) -> bool {
    let left: Vec<usize> = (0..history.len()).filter(|call| !placed.contains(call)).collect();
    if left.iter().all(|&call| history[call].returned.is_none()) {
        return true;
    }
    left.iter().any(|&next| {
        let late = left.iter().any(|&other| {
            history[other].returned.as_ref().is_some_and(|(returned, _)| *returned < history[next].called)
        });
        let mut after = state.clone();
        let outcome = after.apply(&history[next].op);
        if late || history[next].returned.as_ref().is_some_and(|(_, returned)| *returned != outcome) {
            return false;
        }
        placed.push(next);
        let fits = brute_force(history, &after, placed);
        placed.pop();
        fits
    })
}

fn random_op(random: &mut Random, keys: u64, value: u64) -> Op {
    let key = random.below(keys);
    match random.below(6) {
        0 | 1 => Op::Get(key),
        2 => Op::Put(key, value),
        3 => Op::Insert(key, value),
        4 => Op::Remove(key),
        _ => {
            let read = (random.below(3) > 0).then(|| random.below(value + 1));
            let write = (random.below(3) > 0).then_some(value);
            Op::Transact { reads: vec![(key, read)], writes: vec![(random.below(keys), write)] }
        }
    }
}

fn random_outcome(random: &mut Random, op: &Op) -> Outcome {
    match op {
        Op::Get(_) => Outcome::Value((random.below(3) > 0).then(|| random.below(4))),
        Op::Insert(..) if random.below(2) == 0 => Outcome::Refused,
        Op::Transact { .. } => Outcome::Committed,
        _ => Outcome::Existed(random.below(2) == 0),
    }
}

/// Calls that really happened at some moment, some of them with another outcome than they had.
fn random_history(random: &mut Random, len: u64, keys: u64, span: u64, lies: u64) -> History {
    let mut moments: Vec<u64> = (0..len).map(|_| random.below(span)).collect();
    moments.sort_unstable();
    let mut state = Registers::default();
    let mut history = Vec::new();
    for (value, moment) in (0..).zip(moments) {
        let op = random_op(random, keys, value % 4);
        let happened = random.below(8) > 0;
        let outcome = if happened { state.apply(&op) } else { random_outcome(random, &op) };
        let returned = moment + random.below(span / 4 + 1);
        let outcome = if random.below(100) < lies { random_outcome(random, &op) } else { outcome };
        let known = happened && random.below(6) > 0;
        let called = moment.saturating_sub(random.below(span / 4 + 1));
        history.push(Call { client: 0, op, called, returned: known.then_some((returned, outcome)) });
    }
    history
}

#[test]
fn it_agrees_with_brute_force_on_small_histories() {
    let (mut yes, mut no) = (0, 0);
    for seed in 0..6_000 {
        let mut random = Random::new(seed);
        let (len, keys, lies) = (1 + random.below(7), 1 + random.below(3), random.below(2) * 30);
        let history = random_history(&mut random, len, keys, 40, lies);
        let expected = brute_force(&history, &Registers::default(), &mut Vec::new());
        assert_eq!(check(&history).is_ok(), expected, "seed {seed}: {history:#?}");
        if expected { yes += 1 } else { no += 1 }
    }
    assert!(yes > 1_000 && no > 1_000, "{yes} linearizable, {no} not");
}

/// What stateright's tester had no answer for in 25 s: 8 clients with 40 calls each on one key, and one wrong read.
#[test]
fn a_wrong_read_among_many_calls_is_found_at_once() {
    for seed in 0..5 {
        let mut random = Random::new(seed);
        let mut history = History::new();
        let mut now = [0; 8];
        let mut state = Registers::default();
        for value in 1..=320 {
            // Whoever is first calls next; its call takes effect now and returns a while later.
            let client = (0..8).min_by_key(|&client| now[client]).unwrap_or(0);
            let op = if random.below(2) == 0 { Op::Get(1) } else { Op::Put(1, value) };
            let outcome = state.apply(&op);
            let called = now[client];
            now[client] += 20 + random.below(20);
            history.push(Call { client, op, called, returned: Some((now[client] - 1, outcome)) });
        }
        let started = Instant::now();
        check(&history).unwrap();
        let reads: Vec<usize> = (0..320).filter(|&at| history[at].op == Op::Get(1)).collect();
        let wrong = reads[reads.len() / 2];
        history[wrong].returned.as_mut().unwrap().1 = Outcome::Value(Some(1_000));
        assert!(check(&history).is_err());
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

/// Each call without a known outcome doubles the sets of calls to look at, unless the search knows which ones are alike.
#[test]
fn calls_without_a_known_outcome_do_not_hide_a_wrong_read() {
    for seed in 0..5 {
        let mut random = Random::new(seed);
        let mut state = Registers::default();
        let mut history = History::new();
        for turn in 1..60 {
            let now = turn * 10;
            let written = Op::Transact { reads: vec![], writes: vec![(1, Some(200 + turn))] };
            for op in [if turn % 4 == 0 { Op::Remove(1) } else { Op::Put(1, 100 + turn) }, written] {
                if random.below(2) == 0 {
                    state.apply(&op);
                }
                history.push(unknown(now, op));
            }
            for op in [Op::Put(1, turn), Op::Get(1)] {
                let outcome = state.apply(&op);
                history.push(call(now + 1, now + 9, op, outcome));
            }
        }
        let started = Instant::now();
        check(&history).unwrap();
        // It was written over long ago.
        history.push(get(700, 701, 30));
        assert!(check(&history).is_err());
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
