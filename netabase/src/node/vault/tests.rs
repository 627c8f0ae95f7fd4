//! The installation of a snapshot, cut off at every change of a disk.

use bytes::Bytes;

use super::*;
use crate::command::{Action, BatchBuilder, Command, Entry, EntryId, SessionId, Write};
use crate::consensus::{Epoch, Incarnation, Log, Owner};
use crate::node::lapse::is_older;
use crate::schema::RecordId;
use crate::testing::fixture::Item;
use crate::testing::{Disks, ForgetfulDisk, Fuse, Unsynced};

const CLUSTER: ClusterId = ClusterId([1; 16]);
const OWNER: Owner = Owner { cluster: CLUSTER, incarnation: Incarnation([2; 16]) };
/// The round of the snapshot, and those that the receiver has of its own: the store, and a vote above the snapshot.
const SNAPSHOT: u64 = 12;
const BEFORE: u64 = 3;
const VOTED: u64 = 15;
const BALLOT: u64 = 9;

fn founders() -> Roster {
    Roster::founded([], catalog().newest())
}

fn catalog() -> Catalog {
    Catalog::of::<Item>().expect("a schema")
}

fn entry(round: u64) -> Entry {
    let session = SessionId { round: 1, position: 0 };
    let command = match round {
        1 => Command::Open { nonce: [7; 16] },
        _ => {
            let record = RecordId::of_member::<Item, Item>();
            let item = Item { id: round, name: "n".repeat(30_000 * usize::from(round == 5) + 10) };
            let value = Bytes::from(crate::schema::Record::__encode(&item).expect("a value"));
            Command::Execute {
                session,
                number: round,
                floor: round,
                action: Action::Write(Write::Put { record, value }),
            }
        }
    };
    let mut body = BatchBuilder::new();
    assert!(body.push(&command.encode()));
    let mut id = [0; 24];
    id[..8].copy_from_slice(&round.to_be_bytes());
    Entry { id: EntryId::from_bytes(id), body: body.finish() }
}

fn flush(machine: &mut Machine) {
    let Some(flush) = machine.begin_flush() else { return };
    drop(machine.end_flush(flush.run().expect("it is written")).expect("it was out"));
}

fn machine(volume: &dyn Volume, kind: StoreKind) -> Machine {
    let store = Store::open(volume.open_store(kind).expect("a store")).expect("a sound store");
    Machine::open(store, catalog(), founders()).expect("a machine")
}

fn advance(machine: &mut Machine, round: u64) {
    while machine.applied() < round {
        let next = machine.applied() + 1;
        machine.apply(next, &entry(next)).expect("it reads");
    }
    flush(machine);
}

/// The snapshot of another node.
fn snapshot() -> (SnapshotId, Vec<u8>, crate::machine::StateHash) {
    let mut donor = machine(&Disks::new().mount(), StoreKind::Redb);
    advance(&mut donor, SNAPSHOT);
    let file = ForgetfulDisk::new();
    let packed = donor.durable_state().pack(CLUSTER.0, &file, &|| true).expect("it is written");
    let mut bytes = vec![0; usize::try_from(packed.id.bytes).expect("it is short")];
    redb::StorageBackend::read(&file, 0, &mut bytes).expect("it reads");
    (packed.id, bytes, donor.state_hash().expect("it reads"))
}

fn open_log(volume: &dyn Volume) -> Log {
    Log::open(volume.open_log().expect("a database"), OWNER).expect("its owner's")
}

/// Its writer has let go of the disk when this resolves: the next one must not find it there.
async fn close(log: Log) {
    let closed = log.closed();
    drop(log);
    closed.await;
}

/// Disks of a node that is behind, and has voted for a round above the snapshot.
async fn behind(kind: StoreKind) -> Disks {
    let disks = Disks::new();
    let volume = disks.mount();
    advance(&mut machine(&volume, kind), if kind == StoreKind::Memory { 0 } else { BEFORE });
    let log = open_log(&volume);
    for round in 1..=BEFORE {
        log.chosen(round, entry(round)).expect("a queue");
    }
    log.accept(BEFORE + 1, BALLOT, entry(BEFORE + 1)).await.expect("a sound disk");
    log.accept(VOTED, BALLOT, entry(99)).await.expect("a sound disk");
    close(log).await;
    disks
}

/// Everything from the first piece to the removal of the marker.
async fn run(disks: &Disks, kind: StoreKind, id: SnapshotId, bytes: &[u8]) -> Result<Machine> {
    let volume: Arc<dyn Volume> = Arc::new(disks.mount());
    let log = Log::open(volume.open_log()?, OWNER)?;
    let installed = run_with(&Files::new(volume, kind, catalog(), CLUSTER, founders()), &log, id, bytes).await;
    close(log).await;
    installed
}

async fn run_with(files: &Files, log: &Log, id: SnapshotId, bytes: &[u8]) -> Result<Machine> {
    let mut incoming = files.receive(id)?;
    while incoming.received() < id.bytes {
        let from = usize::try_from(incoming.received()).expect("it is short");
        incoming.append(&bytes[from..bytes.len().min(from + CHUNK_BYTES)])?;
    }
    drop(incoming);
    files.build(id).map_err(|error| Error::Storage { reason: error.to_string(), source: None })?;
    let (chosen, ballot) = log.durable(|log| (log.chosen(), log.ballot()));
    let machine = files.install(Installation { round: id.round, epoch: Epoch(0), chosen, ballot })?;
    log.install(Epoch(0), id.round).await.map_err(|_| Error::ShutDown)?;
    files.finish()?;
    Ok(machine)
}

/// What a start does, and what must hold then.
async fn restart(disks: &Disks, kind: StoreKind) -> Machine {
    let volume = disks.mount();
    let installing = resume(&volume, kind).expect("it can be completed");
    let machine = machine(&volume, kind);
    let log = open_log(&volume);
    if kind != StoreKind::Memory {
        assert!(!is_older(&log, machine.applied(), installing), "a completed installation is taken for a lost log");
    }
    if let Some(installation) = installing {
        assert_eq!(machine.applied(), installation.round);
        log.install(Epoch(0), installation.round).await.expect("a sound disk");
        finish(&volume).expect("a sound disk");
    }
    let (chosen, ballot) = log.durable(|log| (log.chosen(), log.ballot()));
    assert!(chosen >= machine.applied() && ballot == BALLOT, "{chosen} {ballot}");
    let voted: Vec<u64> = log.durable(|log| log.accepted_from(0).map(|row| row.round).collect());
    let expected: &[u64] = if chosen == SNAPSHOT { &[VOTED] } else { &[BEFORE + 1, VOTED] };
    assert_eq!(voted, expected, "votes above what is in the store stay (D8)");
    let rows = log.read_chosen(1, usize::MAX).expect("it reads");
    assert_eq!(rows.len(), if chosen == SNAPSHOT { 0 } else { 3 }, "rows that the store holds are gone, no other");
    assert!(volume.read_marker().expect("it reads").is_none());
    close(log).await;
    machine
}

async fn a_crash_at_any_change_is_completed_or_never_was(kind: StoreKind) {
    let (id, bytes, hash) = snapshot();
    let (mut cuts, mut before, mut after) = (0, 0, 0);
    loop {
        let unsynced = match cuts % 3 {
            0 => Unsynced::Lost,
            1 => Unsynced::Torn { seed: cuts },
            _ => Unsynced::Kept,
        };
        let disks = behind(kind).await;
        let fuse = Fuse::of(cuts);
        disks.set_fuse(&fuse);
        if let Ok(machine) = run(&disks, kind, id, &bytes).await
            && fuse.left() > 0
        {
            assert_eq!(machine.state_hash().expect("it reads"), hash);
            break;
        }
        disks.power_cut(unsynced);
        let machine = restart(&disks, kind).await;
        if machine.applied() == SNAPSHOT {
            assert_eq!(machine.state_hash().expect("it reads"), hash, "cut {cuts}");
            after += 1;
        } else {
            assert_eq!(machine.applied(), if kind == StoreKind::Memory { 0 } else { BEFORE });
            before += 1;
        }
        drop(machine);
        // What is left over is in nobody's way.
        let machine = run(&disks, kind, id, &bytes).await.expect("a sound disk");
        assert_eq!(machine.state_hash().expect("it reads"), hash, "cut {cuts}, once more");
        cuts += 1;
    }
    assert!(before > 10 && after > 3, "before {before}, after {after}");
}

#[tokio::test]
async fn a_crash_at_any_change_of_a_disk_is_completed_or_never_was() {
    a_crash_at_any_change_is_completed_or_never_was(StoreKind::Redb).await;
}

#[tokio::test]
async fn a_crash_is_completed_in_memory_too() {
    a_crash_at_any_change_is_completed_or_never_was(StoreKind::Memory).await;
}

#[tokio::test]
async fn a_log_that_is_older_than_when_the_installation_began_is_noticed() {
    let disks = behind(StoreKind::Redb).await;
    let log = open_log(&disks.mount());
    let then = Installation { round: SNAPSHOT, epoch: Epoch(0), chosen: BEFORE, ballot: BALLOT };
    assert!(!is_older(&log, SNAPSHOT, Some(then)));
    assert!(is_older(&log, SNAPSHOT, Some(Installation { chosen: BEFORE + 1, ..then })));
    assert!(is_older(&log, SNAPSHOT, Some(Installation { ballot: BALLOT + 1, ..then })));
    assert!(is_older(&log, SNAPSHOT, Some(Installation { epoch: Epoch(1), ..then })));
    assert!(is_older(&log, SNAPSHOT, None));
}

#[test]
fn what_is_not_what_was_asked_for_is_thrown_away() {
    let (id, bytes, _) = snapshot();
    let files = |cluster| Files::new(Arc::new(Disks::new().mount()), StoreKind::Redb, catalog(), cluster, founders());
    let build = |files: &Files, id: SnapshotId, bytes: &[u8]| {
        let mut incoming = files.receive(id).expect("a sound disk");
        incoming.append(bytes).expect("a sound disk");
        drop(incoming);
        files.build(id)
    };
    assert!(build(&files(CLUSTER), id, &bytes).is_ok());
    for (what, built) in [
        ("of another cluster", build(&files(ClusterId([9; 16])), id, &bytes)),
        ("of another round", build(&files(CLUSTER), SnapshotId { round: 13, ..id }, &bytes)),
        ("with another hash", build(&files(CLUSTER), SnapshotId { hash: [1; 32], ..id }, &bytes)),
        ("cut short", build(&files(CLUSTER), SnapshotId { bytes: id.bytes - 1, ..id }, &bytes[..bytes.len() - 1])),
    ] {
        assert!(matches!(built, Err(Unusable::Bad(_))), "{what}: {built:?}");
    }
}

#[test]
fn what_was_received_is_gone_on_with_as_far_as_it_is_synced() {
    let disks = Disks::new();
    let id = SnapshotId { round: 5, hash: [3; 32], bytes: 40 << 20 };
    let files = |disks: &Disks| Files::new(Arc::new(disks.mount()), StoreKind::Redb, catalog(), CLUSTER, founders());
    let piece = vec![5; CHUNK_BYTES];
    let mut incoming = files(&disks).receive(id).expect("a sound disk");
    (0..20).for_each(|_| incoming.append(&piece).expect("a sound disk"));
    drop(incoming);
    assert_eq!(files(&disks).receive(id).expect("a sound disk").received(), SYNC_BYTES);
    disks.power_cut(Unsynced::Lost);
    assert_eq!(files(&disks).receive(id).expect("a sound disk").received(), SYNC_BYTES);
    let other = SnapshotId { round: 6, ..id };
    assert_eq!(files(&disks).receive(other).expect("a sound disk").received(), 0, "another snapshot begins anew");
}

/// Found by fuzzing: the mark of the one stayed beside the bytes of the other, which were then gone on with, and the whole
/// thrown away in the end.
#[test]
fn what_is_received_of_one_snapshot_is_never_gone_on_with_as_another() {
    let id = SnapshotId { round: SNAPSHOT, hash: [1; 32], bytes: 2 * CHUNK_BYTES as u64 };
    let other = SnapshotId { hash: [2; 32], ..id };
    let files = Files::new(Arc::new(Disks::new().mount()), StoreKind::Redb, catalog(), CLUSTER, founders());
    let append = |id: SnapshotId, pieces: u8| {
        let mut incoming = files.receive(id).expect("a sound disk");
        (0..pieces).for_each(|_| incoming.append(&vec![id.hash[0]; CHUNK_BYTES]).expect("a sound disk"));
    };
    append(id, 2);
    assert_eq!(files.receive(id).expect("a sound disk").received(), id.bytes, "it is all there");
    append(other, 1);
    assert_eq!(files.receive(id).expect("a sound disk").received(), 0, "nothing of it is there any more");
}
