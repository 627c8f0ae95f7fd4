//! What the tests of consensus share: peers in order, entries with ids that can be told apart, a log on a disk that forgets.

use bytes::Bytes;
use libp2p::PeerId;

use super::id::{Ballot, ClusterId, Incarnation, Round, Voters};
use super::log::{Accepted, Log, Owner};
use super::message::AcceptedRow;
use crate::command::{BatchBuilder, Command, Entry, EntryId};
use crate::storage::open_database;
use crate::testing::ForgetfulDisk;

pub(super) const OWNER: Owner = Owner { cluster: ClusterId([1; 16]), incarnation: Incarnation([2; 16]) };

/// The n-th of a test's entries: a no-op with an id of its own.
pub(super) fn entry(n: u64) -> Entry {
    entry_of(n, BatchBuilder::new().finish())
}

pub(super) fn entry_of(n: u64, body: Bytes) -> Entry {
    let mut id = [0; 24];
    id[16..].copy_from_slice(&n.to_be_bytes());
    Entry { id: EntryId::from_bytes(id), body }
}

/// An entry of these commands.
pub(super) fn batch(n: u64, commands: &[Command]) -> Entry {
    let mut batch = BatchBuilder::new();
    assert!(commands.iter().all(|command| batch.push(&command.encode())), "the commands fit into one entry");
    entry_of(n, batch.finish())
}

pub(super) fn accepted(round: Round, ballot: Ballot, entry: &Entry) -> Accepted {
    Accepted { round, ballot, entry: entry.clone() }
}

pub(super) fn row(round: Round, ballot: Ballot, entry: &Entry) -> AcceptedRow {
    accepted(round, ballot, entry).into()
}

/// This many voters; the position of each is its place here.
pub(super) fn voters(count: usize) -> (Voters, Vec<PeerId>) {
    let voters = Voters::new((0..count).map(|_| PeerId::random()).collect());
    let peers = voters.iter().copied().collect();
    (voters, peers)
}

pub(super) fn open_log(disk: &ForgetfulDisk) -> Log {
    Log::open(open_database(disk.clone()).expect("the disk holds a sound database"), OWNER)
        .expect("the log is its owner's")
}
