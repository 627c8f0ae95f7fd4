//! What expires, as transactions read it, page by page and as a whole, and write over it.

use super::*;

/// A clock that is a day ahead had it removed by whoever wrote its unique value, or inserted under its key.
#[test]
fn in_a_transaction_what_has_expired_is_not_there_and_is_removed_by_the_log_alone() {
    let mut node = Node::new::<Login>();
    let until = now_ms() + HOUR_MS;
    node.put(&login(1, until)).expect("it is taken");
    node.put(&login(2, None)).expect("it is taken");
    let rule = Rule::new(&node.catalog);
    let catalog = node.catalog.clone();
    let insert = |login: &Login| Write::Insert { record: record(), value: value(login) };
    let run = |node: &Node, writes: &[Write]| -> Result<Transaction, Refused> {
        let mut trial = Trial::new(node.machine.views().view());
        for write in writes {
            trial.write(&rule, &catalog, write).expect("memory reads")?;
        }
        Ok(Transaction { request: None, reads: trial.into_notes(), writes: writes.to_vec() })
    };
    let exists = |unswept| Err(Refused { refusal: Refusal::AlreadyExists { record: record() }, unswept });
    let taken = |unswept| {
        let index = crate::schema::IndexId::named("token");
        Err(Refused { refusal: Refusal::UniqueViolation { record: record(), index }, unswept })
    };
    let thief = |id| Login { id, ..login(1, None) };
    assert_eq!(run(&node, &[insert(&login(1, None))]), exists(false));
    assert_eq!(run(&node, &[insert(&thief(3))]), taken(false));
    skew_clock_here(2 * HOUR_S);
    let mut trial = Trial::new(node.machine.views().view());
    assert_eq!(trial.get(record(), &Login::__GLUE, &crate::Key::to_bytes(&1_u64)).expect("memory reads"), None);
    assert_eq!(trial.query(&Login::all().plan::<Login>(), &Login::__GLUE).expect("memory reads").len(), 1);
    // What is there says so at once; what is shown to nobody is to be waited for, unless something else is in the way, too.
    assert_eq!(run(&node, &[insert(&login(2, None))]), exists(false));
    assert_eq!(run(&node, &[insert(&login(1, None))]), exists(true));
    assert_eq!(run(&node, &[insert(&thief(3))]), taken(true));
    assert_eq!(run(&node, &[insert(&thief(2))]), exists(false));
    let own = Write::Put { record: record(), value: value(&login(1, until)) };
    assert_eq!(run(&node, &[own, insert(&login(1, None))]), exists(false), "it has written that itself");
    // Refused on the log, too, until it is removed.
    assert!(node.insert(&login(1, None)).is_err() && node.insert(&thief(3)).is_err());
    node.expire(until);
    let inserted = run(&node, &[insert(&thief(3))]).expect("nobody has it");
    node.act(Action::Transact(Arc::new(inserted))).expect("it is taken");
    assert!(!node.stores(1) && node.stores(3));
}

/// Whoever asked for one record had all decoded that are not shown, a client on the thread of all clients.
#[test]
fn a_page_ends_behind_so_many_that_are_not_shown() {
    let mut node = Node::new::<Login>();
    let until = now_ms() + HOUR_MS;
    let ids = 0..PAGE_HIDDEN as u64 + 100;
    let put = |id, until: Option<u64>| Write::Put { record: record(), value: value(&login(id, until)) };
    let writes = ids.clone().map(|id| put(id, Some(until))).chain([put(ids.end, None)]).collect();
    node.act(Action::Transact(Arc::new(Transaction { writes, ..Transaction::default() }))).expect("it is taken");
    skew_clock_here(2 * HOUR_S);
    let view = node.machine.views().view();
    let ended_behind = After::Key(crate::Key::to_bytes(&(PAGE_HIDDEN as u64 - 1)));
    let mut pages = Pages::of(Login::all().limit(1).plan::<Login>());
    assert!(pages.read(&view, &Login::__GLUE).is_empty());
    assert_eq!(pages.next(), Some(&ended_behind));
    let rows = pages.read(&view, &Login::__GLUE);
    assert!(rows.len() == 1 && rows[0].as_ref().is_ok_and(|row| row.key[..] == crate::Key::to_bytes(&ids.end)[..]));
    assert!(pages.have_ended());
    // In a transaction, what lies behind a page is not noted with it.
    let first_page = || {
        let mut trial = Trial::new(node.machine.views().view());
        let plan = Login::all().plan::<Login>();
        let page = trial.page(&plan, &Login::__GLUE, |_| true).expect("memory reads");
        assert_eq!(page, (Vec::new(), Some(ended_behind.clone())));
        Action::Transact(Arc::new(Transaction { reads: trial.into_notes(), ..Transaction::default() }))
    };
    let (one, other) = (first_page(), first_page());
    node.put(&login(PAGE_HIDDEN as u64, None)).expect("it is taken");
    node.act(one).expect("it lies behind");
    node.put(&login(PAGE_HIDDEN as u64 - 1, None)).expect("it is taken");
    assert_eq!(node.act(other), Err(Refusal::Conflict));
}

/// Every sweep was a conflict for whoever had queried a range in which something was not shown.
#[test]
fn the_sweep_of_what_was_not_shown_is_no_conflict_and_a_refresh_is() {
    let mut node = Node::new::<Login>();
    let until = now_ms() + HOUR_MS;
    let lasting = Write::Put { record: record(), value: value(&login(11_000, None)) };
    let put = |id| Write::Put { record: record(), value: value(&login(id, until)) };
    let writes = (0..11_000).map(put).chain([lasting]).collect();
    node.act(Action::Transact(Arc::new(Transaction { writes, ..Transaction::default() }))).expect("it is taken");
    skew_clock_here(2 * HOUR_S);
    let read = |reads: &dyn Fn(&mut Trial)| {
        let mut trial = Trial::new(node.machine.views().view());
        reads(&mut trial);
        Action::Transact(Arc::new(Transaction { reads: trial.into_notes(), ..Transaction::default() }))
    };
    let get = |id: u64| {
        read(&move |trial| {
            let found = trial.get(record(), &Login::__GLUE, &crate::Key::to_bytes(&id)).expect("memory reads");
            assert_eq!(found, None);
        })
    };
    // More than a transaction may read, none of which it is shown.
    let query = |query: fn() -> Query<Login>| {
        read(&move |trial| {
            let found = trial.query(&query().plan::<Login>(), &Login::__GLUE).expect("few are shown");
            assert_eq!(found, [value(&login(11_000, None))]);
        })
    };
    let of_all = [query(Login::all), query(|| Login::by_user(11_000 % 3)), query(|| Login::all().limit(1))];
    let reads: Vec<Action> = of_all.into_iter().chain([get(1), get(20_000)]).collect();
    let twice = read(&|trial| {
        // What was refused by it did learn of it.
        let rule = Rule::new(&node.catalog);
        let insert = Write::Insert { record: record(), value: value(&login(2, None)) };
        assert_eq!(trial.get(record(), &Login::__GLUE, &crate::Key::to_bytes(&2_u64)).expect("memory reads"), None);
        assert!(trial.write(&rule, &node.catalog, &insert).expect("memory reads").is_err());
    });
    for read in &reads {
        node.act(read.clone()).expect("nothing is removed yet");
    }
    node.act(twice.clone()).expect("nor is this");
    // What is put there too late for the reader is not shown to it either.
    node.put(&login(12_000, until)).expect("it is taken");
    while node.expire(until) {}
    for read in &reads {
        node.act(read.clone()).expect("all is as it was shown");
    }
    assert_eq!(node.act(twice), Err(Refusal::Conflict), "it would not be refused now");
    node.put(&login(1, None)).expect("it is taken");
    let outcomes: Vec<bool> = reads.into_iter().map(|read| node.act(read).is_ok()).collect();
    assert_eq!(outcomes, [false, true, false, false, true], "1 is shown now, of another user than the last one");
}

#[test]
fn a_refresh_of_what_was_read_before_it_was_removed_runs_again() {
    let mut node = Node::new::<Login>();
    let until = now_ms() + HOUR_MS;
    node.put(&login(1, until)).expect("it is taken");
    let mut trial = Trial::new(node.machine.views().view());
    let read = trial.get(record(), &Login::__GLUE, &crate::Key::to_bytes(&1_u64)).expect("memory reads");
    assert_eq!(read, Some(value(&login(1, until))));
    node.expire(until);
    let reads = trial.into_notes();
    let writes = vec![Write::Put { record: record(), value: value(&login(1, until + HOUR_MS)) }];
    let refresh = Transaction { request: None, reads, writes };
    assert_eq!(node.act(Action::Transact(Arc::new(refresh))), Err(Refusal::Conflict));
    assert!(!node.stores(1));
}

/// One of them knows a version without a `ttl`; what has expired goes by the version in which it is stored.
#[test]
fn nodes_that_know_different_versions_judge_a_transaction_alike() {
    use lasting::{First, Second, Third};
    let (until, later) = (now_ms() + HOUR_MS, now_ms() + 10 * HOUR_MS);
    let mut nodes = [Node::new::<Second>(), Node::new::<Third>()];
    for node in &mut nodes {
        node.put(&First { id: 9, until: later }).expect("it is taken");
        node.raise(2);
        node.act(Action::Upgrade(record())).expect("it is taken");
        node.put(&Second { id: 1, until }).expect("it is taken");
    }
    skew_clock_here(2 * HOUR_S);
    let mut trial = Trial::new(nodes[0].machine.views().view());
    assert_eq!(trial.query(&Second::all().plan::<Second>(), &Second::__GLUE).expect("memory reads").len(), 1);
    let write = Write::Put { record: record(), value: value(&Second { id: 2, until: later }) };
    let transaction = Arc::new(Transaction { request: None, reads: trial.into_notes(), writes: vec![write] });
    for node in &mut nodes {
        node.act(Action::Transact(Arc::clone(&transaction))).expect("what it read is as it was");
        assert!(node.stores(1) && node.stores(2));
    }
}
