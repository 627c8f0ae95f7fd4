use redb::{Builder, Database, Durability, ReadableDatabase, StorageBackend, TableDefinition};

use super::*;
use crate::testing::Random;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

fn open(disk: &ForgetfulDisk) -> Database {
    Builder::new().create_with_backend(disk.clone()).expect("the disk holds a sound database")
}

/// Writes the row in a transaction of its own.
fn put(database: &Database, key: u64, value: &[u8], durability: Durability) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(durability).expect("no savepoint is in use");
    transaction.open_table(TABLE)?.insert(key, value)?;
    transaction.commit()?;
    Ok(())
}

fn get(database: &Database, key: u64) -> Option<Vec<u8>> {
    let transaction = database.begin_read().expect("a read begins");
    let table = match transaction.open_table(TABLE) {
        Err(redb::TableError::TableDoesNotExist(_)) => return None,
        table => table.expect("the table opens"),
    };
    table.get(key).expect("a read succeeds").map(|row| row.value().to_vec())
}

fn read_all(disk: &ForgetfulDisk) -> Vec<u8> {
    let mut bytes = vec![0; disk.len().expect("powered") as usize];
    disk.read(0, &mut bytes).expect("powered");
    bytes
}

#[test]
fn what_was_committed_survives_and_what_was_not_synced_is_lost() {
    let disk = ForgetfulDisk::new();
    let database = open(&disk);
    put(&database, 1, b"synced", Durability::Immediate).unwrap();
    put(&database, 2, b"not synced", Durability::None).unwrap();
    assert_eq!(get(&database, 2).as_deref(), Some(&b"not synced"[..]));

    let disk = disk.power_cut(Unsynced::Lost);
    assert!(put(&database, 3, b"too late", Durability::Immediate).is_err());
    drop(database);

    let database = open(&disk);
    assert_eq!(get(&database, 1).as_deref(), Some(&b"synced"[..]));
    assert_eq!(get(&database, 2), None);
    assert_eq!(get(&database, 3), None);
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    let disk = ForgetfulDisk::new();
    disk.write(0, b"in the cache").unwrap();
    let disk = disk.power_cut(Unsynced::Kept);
    assert_eq!(read_all(&disk), b"in the cache");
}

/// Every commit up to the last synced one is there and nothing is half there, however the unsynced
/// sectors are lost, reordered and torn, also when the power goes in the middle of a commit.
#[test]
fn torn_writes_leave_a_sound_database() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut disk = ForgetfulDisk::new();
        let (mut synced, mut started) = (0, 0);
        for cut in 0..4 {
            let database = open(&disk);
            for _ in 0..1 + random.index(6) {
                let durability = if random.index(2) == 0 { Durability::Immediate } else { Durability::None };
                started += 1;
                put(&database, started, &started.to_be_bytes().repeat(1 + random.index(400)), durability).unwrap();
                if matches!(durability, Durability::Immediate) {
                    synced = started;
                }
            }
            disk.fail_syncs(true);
            let _unsynced_on_purpose = put(&database, started + 1, b"in a commit that fails", Durability::Immediate);
            disk.fail_syncs(false);
            disk = disk.power_cut(Unsynced::Torn { seed: random.next_number() });
            drop(database);

            let database = open(&disk);
            for key in 1..=synced {
                let value = get(&database, key);
                assert!(
                    value.is_some_and(|value| value.starts_with(&key.to_be_bytes())),
                    "seed {seed}, cut {cut}: row {key} of {synced} synced ones is gone"
                );
            }
            started = (synced..=started + 1).rev().find(|key| get(&database, *key).is_some()).unwrap_or(synced);
            synced = started;
        }
    }
}

#[test]
fn the_same_seed_leaves_the_same_bytes_and_another_seed_others() {
    let survivors = |seed| {
        let disk = ForgetfulDisk::new();
        for sector in 0..64_u8 {
            disk.write(u64::from(sector) * 512, &[sector + 1; 512]).unwrap();
        }
        disk.sync_data().unwrap();
        for sector in 0..64_u8 {
            disk.write(u64::from(sector) * 512, &[255; 512]).unwrap();
        }
        read_all(&disk.power_cut(Unsynced::Torn { seed }))
    };
    assert_eq!(survivors(1), survivors(1));
    assert_ne!(survivors(1), survivors(2));
    for (sector, bytes) in survivors(3).chunks(512).enumerate() {
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a sector is written as a whole");
        assert!(bytes[0] == 255 || usize::from(bytes[0]) == sector + 1);
    }
}

#[test]
fn a_disk_that_ignores_syncs_loses_what_it_acknowledged() {
    let disk = ForgetfulDisk::new();
    put(&open(&disk), 1, b"before the lies", Durability::Immediate).unwrap();
    let database = open(&disk);
    disk.ignore_syncs(true);
    put(&database, 2, b"acknowledged", Durability::Immediate).unwrap();
    let disk = disk.power_cut(Unsynced::Lost);
    drop(database);
    let database = open(&disk);
    assert!(get(&database, 1).is_some());
    assert_eq!(get(&database, 2), None);
}

#[test]
fn what_a_failed_sync_gave_up_no_later_sync_saves() {
    let disk = ForgetfulDisk::new();
    disk.write(0, &[1; 1024]).unwrap();
    disk.sync_data().unwrap();
    disk.write(0, &[2; 1024]).unwrap();
    disk.fail_syncs(true);
    assert!(disk.sync_data().is_err());
    disk.fail_syncs(false);
    disk.write(512, &[3; 512]).unwrap();
    disk.sync_data().unwrap();
    assert_eq!(disk.syncs_failed(), 1);
    assert_eq!(read_all(&disk), [[2; 512], [3; 512]].concat());
    let disk = disk.power_cut(Unsynced::Lost);
    assert_eq!(read_all(&disk), [[1; 512], [3; 512]].concat());
    assert_eq!(disk.syncs_failed(), 0);
}

#[test]
fn failed_writes_and_a_full_disk_are_errors_that_keep_what_was_synced() {
    let disk = ForgetfulDisk::new();
    let database = open(&disk);
    put(&database, 1, b"synced", Durability::Immediate).unwrap();
    disk.fail_writes(true);
    assert!(put(&database, 2, b"fails", Durability::Immediate).is_err());
    disk.fail_writes(false);
    drop(database);

    let database = open(&disk);
    disk.limit_bytes(Some(disk.bytes_used()));
    let error = put(&database, 3, &[7; 1 << 20], Durability::Immediate).expect_err("a MiB does not fit");
    assert!(matches!(&error, redb::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull), "{error}");
    drop(database);

    disk.limit_bytes(None);
    let database = open(&disk);
    assert_eq!(get(&database, 1).as_deref(), Some(&b"synced"[..]));
    put(&database, 3, &[7; 1 << 20], Durability::Immediate).unwrap();
}

#[test]
fn held_syncs_go_on_when_released_and_fail_when_the_power_goes() {
    let disk = ForgetfulDisk::new();
    disk.write(0, b"held").unwrap();
    let before = disk.syncs();
    disk.hold_syncs(true);
    let (sent, answered) = std::sync::mpsc::sync_channel(1);
    let waiting = |disk: ForgetfulDisk, sent: std::sync::mpsc::SyncSender<_>| {
        std::thread::spawn(move || sent.send(disk.sync_data()).expect("the test waits"))
    };
    let thread = waiting(disk.clone(), sent.clone());
    assert!(answered.try_recv().is_err());
    assert_eq!(disk.syncs(), before);
    disk.hold_syncs(false);
    answered.recv().expect("the thread answers").expect("released syncs succeed");
    assert_eq!(disk.syncs(), before + 1);
    thread.join().expect("it has answered");

    disk.hold_syncs(true);
    disk.write(0, b"lost").unwrap();
    let thread = waiting(disk.clone(), sent);
    let powered = disk.power_cut(Unsynced::Lost);
    assert!(answered.recv().expect("the thread answers").is_err());
    thread.join().expect("it has answered");
    assert_eq!(read_all(&powered), b"held");
}

#[test]
fn a_shorter_disk_forgets_what_lay_beyond() {
    let disk = ForgetfulDisk::new();
    disk.write(0, &[9; 1500]).unwrap();
    disk.sync_data().unwrap();
    disk.set_len(600).unwrap();
    disk.set_len(1500).unwrap();
    let expected = [vec![9; 600], vec![0; 900]].concat();
    assert_eq!(read_all(&disk), expected);
    disk.sync_data().unwrap();
    assert_eq!(read_all(&disk.power_cut(Unsynced::Lost)), expected);
    assert!(disk.len().is_err());
}

#[test]
fn a_read_beyond_the_end_is_an_error() {
    let disk = ForgetfulDisk::new();
    disk.write(0, &[1; 10]).unwrap();
    assert!(disk.read(5, &mut [0; 6]).is_err());
    assert!(disk.read(u64::MAX, &mut [0; 6]).is_err());
}
