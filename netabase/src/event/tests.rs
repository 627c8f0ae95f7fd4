//! Watchers of a store in memory: handover, slowness, pruning, the end; and everything at random against a list.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::fixture::{NOTE, Stage, plan, value, with_first};
use super::*;
use crate::Error;
use crate::schema::Plan;
use crate::storage::Place;

const UNBOUND: u64 = u64::MAX / 2;

fn put(key: u8, first: &[u8]) -> (u8, Option<Bytes>) {
    (key, Some(value(first, None, 0)))
}

fn event(item: Option<Result<Event, Error>>) -> (Place, Change) {
    let event = item.expect("it goes on").expect("it is an event");
    (event.place, Change::clone(&event.change))
}

#[test]
fn an_index_watch_is_told_of_arrival_stay_and_departure() {
    let mut stage = Stage::new(UNBOUND);
    // One is fed by the hub, one reads the table.
    let mut fed = stage.watch(&with_first(b"Paris"), Start::Now).expect("it begins");
    let mut reader = stage.watch(&with_first(b"Paris"), Start::Now).expect("it begins");
    fed.until_fed();
    let mut expected = Vec::new();
    for (write, told) in [
        (put(1, b"Rome"), false),
        (put(1, b"Paris"), true),
        (put(1, b"Paris"), true),
        (put(1, b"Rome"), true),
        (put(1, b"Rome"), false),
        (put(1, b"Paris"), true),
        ((1, None), true),
        ((1, None), false),
    ] {
        let changes = stage.apply(&[write]);
        expected.extend(changes.into_iter().filter(|_| told));
    }
    for expected in expected {
        assert_eq!(fed.event(), expected);
        assert_eq!(reader.event(), expected);
    }
    assert!(fed.poll().is_none() && reader.poll().is_none(), "and of nothing else");
}

#[test]
fn a_watch_begins_where_it_is_told_to() {
    let mut stage = Stage::new(UNBOUND);
    let all: Vec<_> = (1..=9).flat_map(|key| stage.apply(&[put(key, b""), put(key + 10, b"")])).collect();
    let mut now = stage.watch(&plan(NOTE), Start::Now).expect("it begins");
    let mut first = stage.watch(&plan(NOTE), Start::At(Place::start_of(0))).expect("it begins");
    let mut fifth = stage.watch(&plan(NOTE), Start::At(Place { round: 5, position: 1 })).expect("it begins");
    let mut later = stage.watch(&plan(NOTE), Start::At(Place { round: 11, position: 1 })).expect("it waits");
    for expected in &all {
        assert_eq!(first.event(), *expected);
    }
    assert_eq!(fifth.event(), all[9]);
    assert!(now.poll().is_none_or(|item| item.is_none()), "nothing yet");
    let tenth = stage.apply(&[put(1, b"a"), put(2, b"a")]);
    let eleventh = stage.apply(&[put(1, b"b"), put(2, b"b")]);
    assert_eq!([now.event(), now.event(), now.event()], [&tenth[..], &eleventh[..1]].concat()[..]);
    assert_eq!([first.event(), first.event()], tenth[..]);
    assert_eq!(later.event(), eleventh[1]);
}

/// While a writer never pauses, watchers come from the past, join, are dropped and come again behind what they saw.
#[test]
fn no_gap_and_no_overlap_where_the_hub_takes_over() {
    let mut stage = Stage::new(UNBOUND);
    let (rounds, readers) = (2_000_u64, 4);
    let hub = Arc::clone(&stage.hub);
    let readers: Vec<_> = (0..readers)
        .map(|reader| {
            let hub = Arc::clone(&hub);
            std::thread::spawn(move || {
                let mut seen: Vec<Place> = Vec::new();
                let mut lives = 0;
                while seen.last().is_none_or(|last| last.round < rounds) {
                    let from = seen.last().map_or(Place::start_of(1), |last| last.next());
                    let watcher = Watcher::start(Arc::clone(&hub), &plan(NOTE), fixture::GLUE, Start::At(from));
                    let mut life = fixture::Reader(watcher.expect("it begins"));
                    lives += 1;
                    for _ in 0..10 + 37 * reader {
                        let (place, _) = life.event();
                        seen.push(place);
                        if place.round == rounds && place.position == 1 {
                            break;
                        }
                    }
                }
                (seen, lives)
            })
        })
        .collect();
    let mut expected = Vec::new();
    for round in 0..rounds {
        expected.extend(stage.apply(&[put(round as u8, b"x"), put(7, b"y")]).into_iter().map(|(place, _)| place));
    }
    for reader in readers {
        let (seen, lives) = reader.join().expect("a reader ends");
        assert_eq!(seen, expected, "over {lives} lives");
    }
}

#[test]
fn a_slow_reader_misses_nothing_that_is_kept_and_slows_nobody() {
    let mut stage = Stage::new(UNBOUND);
    let mut slow = stage.watch(&plan(NOTE), Start::Now).expect("it begins");
    slow.until_fed();
    let mut fast = stage.watch(&plan(NOTE), Start::Now).expect("it begins");
    let mut expected = Vec::new();
    for round in 0..5_000_u64 {
        let changes = stage.apply(&[put(round as u8, &[round as u8])]);
        assert_eq!(fast.event(), changes[0]);
        expected.extend(changes);
    }
    for expected in expected {
        assert_eq!(slow.event(), expected);
    }
}

#[test]
fn who_is_too_slow_is_told_once_and_goes_on_with_what_there_is() {
    let mut stage = Stage::new(4_000);
    let mut slow = stage.watch(&plan(NOTE), Start::At(Place::start_of(1))).expect("it begins");
    let all: Vec<_> = (0..300).flat_map(|round| stage.apply(&[put(round as u8, b"x")])).collect();
    let oldest = stage.hub.view().expect("it is open").oldest_change().expect("memory reads");
    assert!(oldest > 200, "{oldest}");
    let error = slow.next().expect("it goes on").expect_err("it missed some");
    assert!(matches!(error, Error::Lagged { missed } if missed == oldest - 1), "{error}");
    for expected in &all[oldest as usize - 1..] {
        assert_eq!(slow.event(), *expected);
    }
    let refused = stage.watch(&plan(NOTE), Start::At(Place::start_of(oldest - 1)));
    assert!(matches!(refused.map(drop), Err(Error::Compacted { oldest: at }) if at == oldest));
    let mut from_oldest = stage.watch(&plan(NOTE), Start::At(Place::start_of(oldest))).expect("it begins");
    assert_eq!(from_oldest.event(), all[oldest as usize - 1]);
}

/// The queue of one that is fed overflows, and then the table goes on without it.
#[test]
fn a_fed_reader_that_falls_behind_the_table_is_told() {
    let mut stage = Stage::new(4_000);
    let mut slow = stage.watch(&plan(NOTE), Start::Now).expect("it begins");
    let mut fast = stage.watch(&plan(NOTE), Start::Now).expect("it begins");
    slow.until_fed();
    for round in 0..3_000_u64 {
        stage.apply(&[put(round as u8, b"x")]);
        fast.event();
    }
    let (mut seen, mut missed, mut last) = (0, 0, 0);
    while last < 3_000 {
        match slow.next().expect("it goes on") {
            Ok(event) => {
                assert_eq!(event.place.round, last + 1, "no gap that it was not told of");
                (seen, last) = (seen + 1, event.place.round);
            }
            Err(Error::Lagged { missed: more }) => (missed, last) = (missed + more, last + more),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(seen + missed, 3_000);
    assert!(seen >= 1_024 && missed > 1_000, "{seen} seen, {missed} missed");
}

#[test]
fn the_thread_runs_only_while_somebody_watches() {
    let mut stage = Stage::new(UNBOUND);
    assert!(!stage.hub.is_running());
    for _ in 0..3 {
        let mut reader = stage.watch(&plan(NOTE), Start::Now).expect("it begins");
        assert!(stage.hub.is_running());
        let expected = stage.apply(&[put(1, b"")]);
        assert_eq!(reader.event(), expected[0]);
        drop(reader);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while stage.hub.is_running() {
            assert!(std::time::Instant::now() < deadline, "it does not end");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_closed_hub_ends_every_watch_and_lets_go_of_the_store() {
    for failure in [None, Some(Error::Timeout)] {
        let mut stage = Stage::new(UNBOUND);
        let mut fed = stage.watch(&plan(NOTE), Start::Now).expect("it begins");
        let mut unread = stage.watch(&plan(NOTE), Start::At(Place::start_of(1))).expect("it begins");
        let expected = stage.apply(&[put(1, b"")]);
        assert_eq!(fed.event(), expected[0]);
        let waiting = std::thread::spawn(move || (fed.next().map(|item| item.map(drop)), fed.next().is_none()));
        stage.hub.close(failure.as_ref());
        for (end, is_over) in
            [waiting.join().expect("it is woken"), (unread.next().map(|item| item.map(drop)), unread.next().is_none())]
        {
            match (&failure, end) {
                (None, None) => {}
                (Some(_), Some(Err(Error::Storage { .. }))) => {}
                (failure, end) => panic!("{failure:?} ends it with {end:?}"),
            }
            assert!(is_over);
        }
        assert!(stage.watch(&plan(NOTE), Start::Now).is_err());
        assert_eq!(stage.holders(), 2, "the stage and its store, nobody else");
    }
}

/// Each of a thousand watchers gets its own, and only that.
#[test]
fn a_thousand_watchers() {
    let mut stage = Stage::new(UNBOUND);
    let exact = |key: u8| Plan { lower: Bound::Included(vec![key]), upper: Bound::Included(vec![key]), ..plan(NOTE) };
    let mut readers: Vec<_> =
        (0..1_000_u32).map(|n| stage.watch(&exact((n % 250) as u8), Start::Now).expect("it begins")).collect();
    let mut expected = Vec::new();
    for key in 0..250 {
        expected.extend(stage.apply(&[put(key, b"")]));
    }
    for (n, reader) in readers.iter_mut().enumerate() {
        assert_eq!(reader.event(), expected[n % 250]);
    }
    assert!(readers.iter_mut().all(|reader| reader.poll().is_none()));
}

#[derive(Clone, Debug)]
enum Step {
    Round(Vec<(u8, Option<Bytes>)>),
    Flush,
    /// A poll of the reader.
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = (0..3_u8, prop_oneof![9 => Just(0), 1 => Just(40_000_usize)])
        .prop_map(|(first, payload)| value(&[b'a' + first], None, payload));
    let write = (0..8_u8, prop::option::weighted(0.8, value));
    let step = prop_oneof![
        3 => prop::collection::vec(write, 0..4).prop_map(Step::Round),
        1 => Just(Step::Flush),
        3 => Just(Step::Read),
    ];
    prop::collection::vec(step, 1..60)
}

fn selections() -> impl Strategy<Value = Plan> {
    prop_oneof![
        Just(plan(NOTE)),
        (0..8_u8).prop_map(|key| Plan { lower: Bound::Excluded(vec![key]), ..plan(NOTE) }),
        (0..3_u8).prop_map(|first| with_first(&[b'a' + first])),
        Just(Plan { lower: Bound::Unbounded, upper: Bound::Excluded(b"c".to_vec()), ..with_first(b"") }),
    ]
}

/// What a plan selects at a moment, in its order.
fn selected(stage: &Stage, plan: &Plan) -> Vec<(u64, Bytes, Bytes)> {
    use crate::storage::Selecting;
    let view = stage.hub.view().expect("it is open");
    let rows = view.select(plan, &fixture::GLUE).expect("a plan");
    rows.map(|row| row.expect("a row")).map(|row| (row.round, row.key, row.value)).collect()
}

proptest! {
    // A failing case prints its input and seed, and keeps the seed beside this file.
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever is written while it reads: first what was there, in order, as of one round; then every change behind it.
    #[test]
    fn current_records_are_of_one_round_and_changes_follow(
        before in steps(),
        meanwhile in steps(),
        plan in selections(),
    ) {
        let mut stage = Stage::new(UNBOUND);
        for step in before {
            match step {
                Step::Round(writes) => drop(stage.apply(&writes)),
                Step::Flush => stage.flush(),
                Step::Read => {}
            }
        }
        let base = stage.applied();
        let there = selected(&stage, &plan);
        let filter = filter::Filter::new(&plan, fixture::GLUE);
        let mut reader = stage.watch(&plan, Start::Current).expect("it begins");
        let (mut events, mut changes) = (Vec::new(), Vec::new());
        for step in meanwhile {
            match step {
                Step::Round(writes) => changes.extend(stage.apply(&writes)),
                Step::Flush => stage.flush(),
                Step::Read => events.extend(reader.poll()),
            }
        }
        changes.retain(|(_, change)| filter.matches(change));
        while events.len() < there.len() + changes.len() {
            events.push(reader.next());
        }
        prop_assert!(reader.poll().is_none() && reader.poll().is_none());
        let events: Vec<Event> = events.into_iter().map(|item| item.expect("no end").expect("no error")).collect();
        let (current, rest) = events.split_at(there.len());
        let current: Vec<_> = current
            .iter()
            .map(|event| {
                assert_eq!((event.place, &event.change.before), (Place { round: base, position: u32::MAX }, &None));
                (event.round, event.change.key.clone(), event.change.after.clone().expect("it is there"))
            })
            .collect();
        prop_assert_eq!(current, there);
        let rest: Vec<_> = rest.iter().map(|event| (event.place, Change::clone(&event.change))).collect();
        prop_assert_eq!(rest, changes);
    }
}

/// More is written than is kept while it reads: it is told, and the rest is as of a later round.
#[test]
fn current_records_read_too_slowly_are_of_a_later_round() {
    let mut stage = Stage::new(4_000);
    for key in 0..=u8::MAX {
        stage.apply(&[(key, Some(value(b"old", None, 1_000)))]);
    }
    let base = stage.applied();
    let mut reader = stage.watch(&plan(NOTE), Start::Current).expect("it begins");
    let (first, _) = reader.event();
    assert_eq!(first, Place { round: base, position: u32::MAX });
    for key in 0..=u8::MAX {
        stage.apply(&[put(key, b"new")]);
    }
    let (mut seen, mut lagged) = (1, None);
    while seen < 256 {
        match reader.next().expect("it goes on") {
            Ok(event) => {
                let old = event.change.after.as_ref().is_some_and(|value| value.len() > 1_000);
                assert_eq!(old, lagged.is_none(), "as of one round before, of a later one behind");
                assert_eq!(event.change.key[..], [seen as u8]);
                seen += 1;
            }
            Err(Error::Lagged { missed }) => assert_eq!(lagged.replace(missed), None),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(lagged, Some(stage.applied() - base));
    let expected = stage.apply(&[put(1, b"last")]);
    assert_eq!(event(reader.next()), expected[0], "and from there on every change");
}
