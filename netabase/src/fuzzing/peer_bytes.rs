//! What peers and clients send: frames, every message, log entries and commands, and what is done with them: commands are
//! applied, plans are read, transactions are tried.

use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::input::Input;
use super::sample::{catalog, entry_of, machine};
use crate::command::{Batch, BatchBuilder, Command, EncodedCommand, Transaction};
use crate::consensus::fuzz::{self, KINDS};
use crate::desk::message::{
    Confirmed, Count, Hash, Page, Read, Request, Step, Stepped, Submitted, Trouble, Values, Watched, Welcome,
};
use crate::event::{Hub, Start, Watcher};
use crate::machine::{Rule, Trial};
use crate::network;
use crate::schema::{IndexId, Plan, RecordGlue, codec};
use crate::storage::{Pages, Place, Selecting, View};

/// The first byte says what it is.
pub fn peer_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 8 {
        0 => {
            let pieces = input.array();
            network::fuzz::frames(input.rest(), pieces);
        }
        1 | 2 => {
            let kind = input.byte() % KINDS;
            let (entries, commands) = fuzz::message(kind, input.rest());
            entries.into_iter().for_each(|entry| body(entry.body));
            commands.into_iter().for_each(|bytes| drop(command(bytes)));
        }
        3 => request(input.rest()),
        4 => answer(input.byte(), input.rest()),
        5 => body(Bytes::copy_from_slice(input.rest())),
        6 => drop(command(Bytes::copy_from_slice(input.rest()))),
        _ => drop(transaction(Bytes::copy_from_slice(input.rest()))),
    }
}

/// The body of an entry: one encoding each, and applying it is total.
fn body(bytes: Bytes) {
    if let Ok(batch) = Batch::decode(&bytes) {
        let mut again = BatchBuilder::new();
        assert!(batch.commands.iter().all(|command| again.push(&command.encode())));
        assert_eq!(again.finish(), bytes);
    }
    let sealed = Batch::seal_in(&bytes).is_some();
    let mut machine = machine();
    let epoch = machine.roster().epoch;
    let round = machine.applied() + 1;
    machine.apply(round, &entry_of(bytes)).expect("applying is total");
    assert!(machine.roster().epoch == epoch || sealed, "an epoch ends with a seal that is seen");
    let hash = machine.state().hash().expect("memory reads");
    super::sample::flush(&mut machine);
    assert_eq!(machine.state().hash().expect("memory reads"), hash);
    crate::machine::verify(&machine.views().view(), &catalog()).expect("records and indexes agree");
}

fn command(bytes: Bytes) -> Option<Command> {
    let (encoded, command) = EncodedCommand::open(bytes.clone()).ok()?;
    assert_eq!(encoded.as_bytes(), &bytes);
    assert_eq!(command.encode(), encoded, "one encoding a command");
    let mut alone = BatchBuilder::new();
    assert!(alone.push(&encoded));
    body(alone.finish());
    Some(command)
}

fn transaction(bytes: Bytes) -> Option<Transaction> {
    let transaction = Transaction::decode(bytes.clone()).ok()?;
    assert_eq!(transaction.to_bytes(), bytes, "one encoding a transaction");
    assert!(transaction.bytes() >= bytes.len());
    let (catalog, machine) = (catalog(), machine());
    let rule = Rule::new(&catalog);
    let mut trial = Trial::new(machine.views().view());
    for write in &transaction.writes {
        let _ = trial.write(&rule, &catalog, write).expect("memory reads");
    }
    let notes = Transaction { reads: trial.into_notes(), ..Transaction::default() };
    assert_eq!(Transaction::decode(notes.to_bytes()), Ok(notes));
    Some(transaction)
}

fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let message: T = codec::decode(bytes).ok()?;
    let again = codec::encode(&message).expect("what was read can be written");
    assert_eq!(codec::decode::<T>(&again).expect("what was written can be read"), message);
    Some(message)
}

/// What a client asks, and what the desk reads for it.
fn request(bytes: &[u8]) {
    let Some(request) = same::<Request>(bytes) else { return };
    let view = machine().views().view();
    match request {
        Request::Read { read: Read::Page { plan }, .. } => page(&view, plan),
        Request::Read { read: Read::Count { plan }, .. } => {
            if let Some(glue) = glue(&plan) {
                let _ = view.count(&plan, glue);
            }
        }
        Request::Read { read: Read::Get { record, keys }, .. } => {
            let Some(glue) = catalog().record(record) else { return };
            keys.iter().for_each(|key| drop(view.record(record, glue, key).expect("memory reads")));
        }
        Request::Submit { commands } => commands.into_iter().for_each(|bytes| drop(command(bytes))),
        Request::Watch { plan, start, .. } => watch(&plan, start),
        Request::Transact { writes, step, .. } => {
            let _ = transaction(writes);
            match step {
                Step::Page { plan } => page(&view, plan),
                Step::Get { record, key } => {
                    let Some(glue) = catalog().record(record) else { return };
                    drop(Trial::new(view).get(record, glue, &key).expect("memory reads"));
                }
                Step::Conclude => {}
            }
        }
        Request::Hello(_) | Request::Confirm | Request::Release { .. } | Request::Read { read: Read::Hash, .. } => {}
    }
}

fn glue(plan: &Plan) -> Option<&'static RecordGlue> {
    let glue = catalog().record(plan.record)?;
    let is_known = |index: IndexId| glue.indexes.iter().any(|known| IndexId::named(known.name) == index);
    plan.index.is_none_or(is_known).then_some(glue)
}

fn page(view: &View, plan: Plan) {
    let Some(glue) = glue(&plan) else { return };
    let mut pages = Pages::of(plan.clone());
    // Nothing is given twice, so it ends.
    let mut given = 0;
    while !pages.have_ended() {
        given += pages.read(view, glue).len();
        assert!(given <= 20);
    }
    let mut trial = Trial::new(view.clone());
    if trial.query(&plan, glue).is_ok() {
        assert!(trial.into_notes().len() <= 2);
    }
}

/// A watcher over what is there: in order, and with a place for the next one.
fn watch(plan: &Plan, start: Start) {
    let Some(glue) = glue(plan) else { return };
    let machine = machine();
    let (_applied, follow) = tokio::sync::watch::channel(machine.applied());
    let hub = Hub::new(machine.views(), follow);
    if let Ok(mut watcher) = Watcher::start(Arc::clone(&hub), plan, *glue, start) {
        let mut context = Context::from_waker(Waker::noop());
        let (mut last, mut is_current) = (None, true);
        for _ in 0..60 {
            if let Poll::Ready(Some(Ok(event))) = watcher.poll_next(&mut context) {
                // Records that are there come in their own order, changes behind them in that of the log.
                is_current &= event.place == Place::of_current(event.place.round);
                assert!(is_current || last < Some(event.place));
                last = Some(event.place);
                let _ = watcher.behind(&event);
            }
            let _ = (watcher.unread(), watcher.frontier());
        }
    }
    hub.close(None);
}

/// What a member answers, by the request.
fn answer(kind: u8, bytes: &[u8]) {
    match kind % 10 {
        0 => drop(same::<Result<Welcome, Trouble>>(bytes)),
        1 => drop(same::<Result<Values, Trouble>>(bytes)),
        2 => drop(same::<Result<Page, Trouble>>(bytes)),
        3 => drop(same::<Result<Count, Trouble>>(bytes)),
        4 => drop(same::<Result<Hash, Trouble>>(bytes)),
        5 => drop(same::<Result<Confirmed, Trouble>>(bytes)),
        6 => drop(same::<Result<Submitted, Trouble>>(bytes)),
        7 => drop(same::<Result<Watched, Trouble>>(bytes)),
        8 => drop(same::<Result<Stepped<Option<Bytes>>, Trouble>>(bytes)),
        _ => drop(same::<Result<Stepped<Page>, Trouble>>(bytes)),
    }
}
