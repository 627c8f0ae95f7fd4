//! Named calls: kept in log order, up to the bound, through a restart.

use std::sync::Arc;

use super::*;
use crate::command::Applied;
use crate::storage::{MemoryEngine, Store};

fn id(n: u8) -> RequestId {
    RequestId([n; 16])
}

fn done(round: u64) -> Outcome {
    Ok(Applied { round, existed: false })
}

fn place(round: u64) -> Place {
    Place { round, position: 0 }
}

#[test]
fn the_oldest_in_log_order_is_forgotten_first() {
    let store = Store::open(Arc::new(MemoryEngine::default())).expect("it opens");
    let mut requests = Requests::load(&store.view(), 2).expect("it reads");
    requests.record(id(9), place(1), done(1));
    requests.record(id(1), place(2), done(2));
    assert_eq!(requests.outcome(&id(9)), Some(&done(1)));
    requests.record(id(5), place(3), done(3));
    assert_eq!(requests.outcome(&id(9)), None);
    assert_eq!(requests.outcome(&id(1)), Some(&done(2)));
    let rows: Vec<_> = requests.take_dirty().iter().map(|dirty| row(dirty).expect("it encodes")).collect();
    assert_eq!(rows.len(), 3, "what is forgotten is removed from the store");
    assert!(rows.iter().any(|(key, value)| *key == layout::request_key([9; 16]) && value.is_none()));
    assert!(requests.take_dirty().is_empty());
}

#[test]
fn they_are_read_back_as_they_were() {
    let mut store = Store::open(Arc::new(MemoryEngine::default())).expect("it opens");
    let mut requests = Requests::load(&store.view(), 10).expect("it reads");
    for round in 1..=4 {
        requests.record(id(round), place(round.into()), done(round.into()));
    }
    store.draft().install(4).expect("memory reads");
    let rows: Vec<_> = requests.take_dirty().iter().map(|dirty| row(dirty).expect("it encodes")).collect();
    let flush = store.begin_flush().expect("there is something");
    drop(store.end_flush(flush.run(rows).expect("it is written")).expect("it is out"));
    // Opened with a smaller bound, as by an older version: what is too much goes with the next call.
    let mut again = Requests::load(&store.view(), 3).expect("it reads");
    assert_eq!(again.capture().rows().count(), 4);
    assert_eq!(again.outcome(&id(2)), Some(&done(2)));
    again.record(id(7), place(9), done(9));
    let known: Vec<bool> = (1..=4).map(|n| again.outcome(&id(n)).is_some()).collect();
    assert_eq!(known, [false, false, true, true]);
}
