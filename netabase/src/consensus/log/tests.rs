//! The acceptor log on a disk that forgets what was not synced.

use futures::poll;
use redb::TableDefinition;

use super::layout::{CHOSEN, ENTRIES, FORMAT, META, META_FORMAT};
use super::*;
use crate::consensus::fixture::{OWNER, accepted, entry, entry_of, open_log};
use crate::schema::codec;
use crate::storage::open_database;
use crate::testing::{ForgetfulDisk, Unsynced};

const BYTES: usize = 1 << 20;

/// Waits until the writer is stopped in a sync: whatever comes now waits behind it.
async fn until_held(disk: &ForgetfulDisk) {
    until(|| disk.syncs_held() > 0).await;
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it happens");
}

fn accepted_rows(log: &Log) -> Vec<Accepted> {
    log.durable(|log| log.accepted_from(0).collect())
}

fn refusal(disk: &ForgetfulDisk, owner: Owner) -> String {
    match Log::open(open_database(disk.clone()).unwrap(), owner) {
        Err(Error::DataDirectory { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// D1, D4: neither the waiter nor memory runs ahead of the disk.
#[tokio::test]
async fn nothing_is_known_before_it_is_synced() {
    let disk = ForgetfulDisk::new();
    let log = open_log(&disk);
    disk.hold_syncs(true);
    let mut promised = log.promise(7);
    let mut accepted_too = log.accept(1, 7, entry(1));
    let mut barrier = log.barrier();
    until_held(&disk).await;
    log.chosen(1, entry(1)).unwrap();
    assert!(poll!(&mut promised).is_pending());
    assert!(poll!(&mut accepted_too).is_pending());
    assert!(poll!(&mut barrier).is_pending());
    assert_eq!(log.durable(|log| (log.ballot(), log.chosen())), (0, 0));
    assert_eq!(accepted_rows(&log), []);
    assert!(log.read_chosen(1, BYTES).unwrap().is_empty());
    disk.hold_syncs(false);
    assert_eq!((promised.await, accepted_too.await, barrier.await), (Ok(()), Ok(()), Ok(())));
    assert_eq!(log.durable(Mirror::ballot), 7);
    until(|| log.durable(Mirror::chosen) == 1).await;
    assert_eq!(accepted_rows(&log), [], "what is chosen is not open any more");
}

/// D4: who waits together is synced together.
#[tokio::test]
async fn many_waiters_share_a_sync() {
    let disk = ForgetfulDisk::new();
    let log = open_log(&disk);
    let before = disk.syncs();
    log.promise(1).await.unwrap();
    let each = disk.syncs() - before;
    disk.hold_syncs(true);
    let first = log.promise(2);
    until_held(&disk).await;
    let before = disk.syncs();
    let waiters: Vec<Durable> = (1..=1_000).map(|round| log.accept(round, 2, entry(round))).collect();
    disk.hold_syncs(false);
    first.await.unwrap();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    // The one that was held, one for all, and what the growing file takes.
    assert!(disk.syncs() - before <= 5 * each, "{} syncs, {each} a commit", disk.syncs() - before);
    assert_eq!(accepted_rows(&log).len(), 1_000);
}

#[tokio::test]
async fn a_stuck_writer_does_not_look_idle() {
    let disk = ForgetfulDisk::new();
    let log = open_log(&disk);
    log.promise(1).await.unwrap();
    until(|| log.busy_for() == Duration::ZERO).await;
    disk.hold_syncs(true);
    let promised = log.promise(2);
    until(|| log.busy_for() > Duration::from_millis(20)).await;
    disk.hold_syncs(false);
    promised.await.unwrap();
    until(|| log.busy_for() == Duration::ZERO).await;
}

#[tokio::test]
async fn what_was_answered_survives_a_power_cut() {
    for seed in 0..20 {
        let disk = ForgetfulDisk::new();
        let log = open_log(&disk);
        let peer = PeerId::random();
        let row = PeerRow { epoch: Epoch(0), incarnation: Incarnation([9; 16]), counted: 4 };
        for round in 1..=5 {
            log.accept(round, 4, entry(round)).await.unwrap();
        }
        for round in 1..=3 {
            log.chosen(round, entry(round)).unwrap();
        }
        log.promise(8).await.unwrap();
        log.meet(peer, row).await.unwrap();
        let _lost = log.accept(6, 8, entry(6));
        let log = open_log(&disk.power_cut(Unsynced::Torn { seed }));
        assert_eq!(log.durable(|log| (log.ballot(), log.chosen())), (8, 3), "seed {seed}");
        assert_eq!(log.durable(|log| log.peer(&peer)), Some(row));
        assert_eq!(accepted_rows(&log)[..2], [accepted(4, 4, &entry(4)), accepted(5, 4, &entry(5))]);
        assert_eq!(log.read_chosen(1, BYTES).unwrap(), (1..=3).map(|n| accepted(n, 4, &entry(n))).collect::<Vec<_>>());
    }
}

/// D6: ballots only grow, also through acceptances, and across a restart.
#[tokio::test]
async fn ballots_only_grow_and_survive() {
    let disk = ForgetfulDisk::new();
    let log = open_log(&disk);
    for (promised, greatest) in [(5, 5), (3, 5), (6, 6)] {
        log.promise(promised).await.unwrap();
        assert_eq!(log.durable(Mirror::ballot), greatest);
    }
    log.accept(1, 11, entry(1)).await.unwrap();
    log.accept(2, 4, entry(2)).await.unwrap();
    assert_eq!(log.durable(Mirror::ballot), 11);
    log.chosen(1, entry(1)).unwrap();
    log.chosen(2, entry(2)).unwrap();
    log.barrier().await.unwrap();
    log.prune(2).unwrap();
    log.barrier().await.unwrap();
    let log = open_log(&disk.power_cut(Unsynced::Lost));
    assert_eq!(log.durable(Mirror::ballot), 11, "pruning keeps it");
    log.promise(2).await.unwrap();
    assert_eq!(log.durable(Mirror::ballot), 11);
}

#[tokio::test]
async fn a_round_keeps_the_acceptance_with_the_higher_ballot() {
    let disk = ForgetfulDisk::new();
    let log = open_log(&disk);
    log.accept(1, 5, entry(1)).await.unwrap();
    log.accept(1, 3, entry(2)).await.unwrap();
    log.accept(2, 3, entry(3)).await.unwrap();
    log.accept(2, 7, entry(4)).await.unwrap();
    let rows = [accepted(1, 5, &entry(1)), accepted(2, 7, &entry(4))];
    assert_eq!(accepted_rows(&log), rows);
    assert_eq!(accepted_rows(&open_log(&disk.power_cut(Unsynced::Lost))), rows);
}

/// D10: whatever comes later, in a group of its own or in the same one.
#[tokio::test]
async fn a_chosen_row_never_changes() {
    let disk = ForgetfulDisk::new();
    let log = open_log(&disk);
    log.accept(1, 5, entry(1)).await.unwrap();
    log.chosen(1, entry(1)).unwrap();
    log.barrier().await.unwrap();
    log.accept(1, 9, entry(2)).await.unwrap();
    log.chosen(1, entry(2)).unwrap();
    log.barrier().await.unwrap();
    // The same within one group.
    disk.hold_syncs(true);
    let first = log.promise(10);
    until_held(&disk).await;
    drop(log.accept(2, 10, entry(3)));
    log.chosen(2, entry(3)).unwrap();
    let last = log.accept(2, 12, entry(4));
    disk.hold_syncs(false);
    first.await.unwrap();
    last.await.unwrap();
    let rows = [accepted(1, 5, &entry(1)), accepted(2, 10, &entry(3))];
    assert_eq!(log.read_chosen(1, BYTES).unwrap(), rows);
    assert_eq!(accepted_rows(&log), []);
    assert_eq!(open_log(&disk.power_cut(Unsynced::Lost)).read_chosen(1, BYTES).unwrap(), rows);
}

#[tokio::test]
async fn what_is_chosen_replaces_what_was_only_accepted() {
    let disk = ForgetfulDisk::new();
    let log = open_log(&disk);
    log.accept(1, 5, entry(1)).await.unwrap();
    log.chosen(1, entry(2)).unwrap();
    log.chosen(2, entry(3)).unwrap();
    log.barrier().await.unwrap();
    let ids: Vec<Entry> = log.read_chosen(1, BYTES).unwrap().into_iter().map(|row| row.entry).collect();
    assert_eq!(ids, [entry(2), entry(3)]);
}

/// D10: what is accepted but not chosen is never read as chosen.
#[tokio::test]
async fn chosen_rows_are_read_in_pages_up_to_what_is_chosen() {
    let log = open_log(&ForgetfulDisk::new());
    let entries: Vec<Entry> = (1..=4).map(|n| entry_of(n, vec![0; 100].into())).collect();
    for (round, entry) in (1..).zip(&entries) {
        log.accept(round, 3, entry.clone()).await.unwrap();
    }
    for (round, entry) in (1..).zip(&entries[..3]) {
        log.chosen(round, entry.clone()).unwrap();
    }
    log.barrier().await.unwrap();
    let rounds = |from, bytes_max| -> Vec<Round> {
        log.read_chosen(from, bytes_max).unwrap().iter().map(|row| row.round).collect()
    };
    assert_eq!(rounds(1, BYTES), [1, 2, 3]);
    assert_eq!(rounds(1, 200), [1, 2]);
    assert_eq!(rounds(1, 199), [1]);
    assert_eq!(rounds(2, 0), [2], "at least one");
    assert!(rounds(4, BYTES).is_empty() && rounds(u64::MAX, BYTES).is_empty());
    log.prune(2).unwrap();
    log.barrier().await.unwrap();
    assert!(rounds(1, BYTES).is_empty(), "no gap at the front");
    assert_eq!(rounds(3, BYTES), [3]);
    assert_eq!(accepted_rows(&log), [accepted(4, 3, &entries[3])]);
}

/// D13: one failed commit, and nothing is ever answered again.
#[tokio::test]
async fn a_failed_commit_is_the_end() {
    for full in [false, true] {
        let disk = ForgetfulDisk::new();
        let log = open_log(&disk);
        log.promise(4).await.unwrap();
        if full {
            disk.limit_bytes(Some(disk.bytes_used()));
        } else {
            disk.fail_syncs(true);
        }
        let large = entry_of(1, vec![1; 100_000].into());
        let both = (log.accept(1, 5, large), log.promise(6));
        assert_eq!((both.0.await, both.1.await), (Err(NotLogged), Err(NotLogged)));
        until(|| log.failure().is_some()).await;
        let failure = log.failure().unwrap().to_string();
        assert!(failure.starts_with("storage failed: ") && failure.contains("start this node again"), "{failure}");
        assert_eq!(log.durable(Mirror::ballot), 4);
        disk.limit_bytes(None);
        disk.fail_syncs(false);
        assert_eq!(log.promise(7).await, Err(NotLogged), "the disk works again, but the log is not asked");
        assert_eq!(log.barrier().await, Err(NotLogged));
        until(|| log.chosen(1, entry(1)).is_err()).await;
        assert_eq!(open_log(&disk.power_cut(Unsynced::Lost)).durable(Mirror::ballot), 4);
    }
}

#[tokio::test]
async fn another_s_log_is_refused() {
    let disk = ForgetfulDisk::new();
    open_log(&disk).promise(1).await.unwrap();
    let disk = disk.power_cut(Unsynced::Kept);
    let other_cluster = Owner { cluster: ClusterId([7; 16]), ..OWNER };
    assert!(refusal(&disk, other_cluster).contains("belongs to the cluster"));
    let other_directory = Owner { incarnation: Incarnation([7; 16]), ..OWNER };
    assert!(refusal(&disk, other_directory).contains("comes from another directory"));
}

#[tokio::test]
async fn another_format_is_refused() {
    let disk = ForgetfulDisk::new();
    open_log(&disk).promise(1).await.unwrap();
    let disk = disk.power_cut(Unsynced::Kept);
    let next = codec::encode(&(FORMAT + 1)).unwrap();
    overwrite(&disk, META, META_FORMAT, &next);
    let disk = disk.power_cut(Unsynced::Kept);
    assert!(refusal(&disk, OWNER).contains("open it with the version of Netabase that wrote it"));
}

/// D13: a row that cannot be read is damage, never skipped.
#[tokio::test]
async fn a_damaged_row_is_not_skipped() {
    let disk = ForgetfulDisk::new();
    let log = open_log(&disk);
    for round in 1..=3 {
        log.accept(round, 1, entry(round)).await.unwrap();
    }
    log.chosen(1, entry(1)).unwrap();
    log.barrier().await.unwrap();
    let disk = disk.power_cut(Unsynced::Kept);
    overwrite(&disk, ENTRIES, (0, 1), b"short");
    let disk = disk.power_cut(Unsynced::Kept);
    let log = open_log(&disk);
    assert!(matches!(log.read_chosen(1, BYTES), Err(Error::DataDirectory { .. })));
    let disk = disk.power_cut(Unsynced::Kept);
    overwrite(&disk, ENTRIES, (0, 2), b"short");
    let disk = disk.power_cut(Unsynced::Kept);
    assert!(refusal(&disk, OWNER).contains("damaged"));
}

/// Found by fuzzing: counting on from it overflowed.
#[tokio::test]
async fn a_round_greater_than_any_is_damage() {
    let disk = ForgetfulDisk::new();
    drop(open_log(&disk));
    let disk = disk.power_cut(Unsynced::Kept);
    let database = open_database(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(CHOSEN).unwrap().insert(0, u64::MAX).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(refusal(&disk, OWNER).contains("damaged"));
}

fn overwrite<'k, K: redb::Key + 'static>(
    disk: &ForgetfulDisk,
    table: TableDefinition<'static, K, &[u8]>,
    key: K::SelfType<'k>,
    value: &[u8],
) {
    let database = open_database(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(&key, value).unwrap();
    transaction.commit().unwrap();
}
