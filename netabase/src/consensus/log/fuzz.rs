//! The acceptor log for `crate::fuzzing`: rows as anything may have left them, and a whole file of such rows.

use libp2p::PeerId;
use redb::Database;

use super::layout::{
    BALLOTS, CHOSEN, ENTRIES, META, META_CLUSTER, META_FORMAT, META_INCARNATION, PEERS, PeerRow, entry_row,
    read_entry_head, read_entry_row,
};
use super::{Owner, open};
use crate::consensus::id::{ClusterId, Epoch, Incarnation};
use crate::schema::codec;
use crate::storage::open_database;
use crate::testing::ForgetfulDisk;

const OWNER: Owner = Owner { cluster: ClusterId([1; 16]), incarnation: Incarnation([2; 16]) };

/// One row of a table, by its number here.
pub(crate) struct Row<'d> {
    pub(crate) table: u8,
    pub(crate) epoch: u64,
    pub(crate) round: u64,
    pub(crate) value: &'d [u8],
}

/// What a row is read as, it is written as.
pub(crate) fn row(bytes: &[u8]) {
    let head = read_entry_head(bytes);
    match read_entry_row(bytes) {
        Some((ballot, entry)) => {
            assert_eq!(head, Some((ballot, entry.id)));
            assert_eq!(entry_row(ballot, &entry), bytes);
        }
        None => assert_eq!(head, None),
    }
    if let Ok(row) = codec::decode::<PeerRow>(bytes) {
        let news = PeerRow { epoch: Epoch(3), incarnation: Incarnation([3; 16]), counted: 9 };
        assert!(PeerRow::updated(Some(row), news).epoch.0 >= row.epoch.0.min(3));
    }
    let _ = PeerId::from_bytes(bytes);
}

/// Opens a log with these rows, and reads what is in it.
pub(crate) fn file(rows: &[Row<'_>]) {
    let database = open_database(ForgetfulDisk::new()).expect("a new database");
    open::prepare(&database, OWNER).expect("a new log");
    write(&database, rows).expect("a disk in memory takes it");
    let Ok(mirror) = open::prepare(&database, OWNER) else { return };
    let _ = (mirror.epoch(), mirror.ballot(), mirror.chosen(), mirror.accepted_from(0).count());
    let _ = open::first_round(&database);
    for from in [0, 1, mirror.chosen()] {
        let _ = open::read_rows(&database, mirror.chosen_from(from), 1_000);
    }
}

fn write(database: &Database, rows: &[Row<'_>]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        for Row { table, epoch, round, value } in rows {
            match table % 7 {
                0 => drop(transaction.open_table(BALLOTS)?.insert(epoch, round)?),
                1 | 2 => drop(transaction.open_table(ENTRIES)?.insert((*epoch, *round), *value)?),
                3 => drop(transaction.open_table(CHOSEN)?.insert(epoch, round)?),
                4 => drop(transaction.open_table(PEERS)?.insert(*value, *value)?),
                5 => drop(transaction.open_table(PEERS)?.insert(&peer()[..], *value)?),
                _ => {
                    let names = [META_FORMAT, META_CLUSTER, META_INCARNATION];
                    let name = names[usize::try_from(epoch % 3).unwrap_or(0)];
                    drop(transaction.open_table(META)?.insert(name, *value)?);
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn peer() -> Vec<u8> {
    let key = libp2p::identity::Keypair::ed25519_from_bytes([1; 32]).expect("any 32 bytes are a key");
    key.public().to_peer_id().to_bytes()
}

/// Rows for seeds.
pub(crate) fn seeds(entry: &crate::command::Entry) -> Vec<Vec<u8>> {
    let peer_row = PeerRow { epoch: Epoch(3), incarnation: Incarnation([3; 16]), counted: 9 };
    vec![entry_row(9, entry), codec::encode(&peer_row).expect("it encodes"), peer()]
}
