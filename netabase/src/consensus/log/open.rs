//! Opening the acceptor log and reading it: whose it is, what is durable in it, the chosen rows.
//!
//! Must hold: nothing of a log is used before its format, cluster and incarnation were checked; a row that cannot be
//! read is damage (D13), never skipped.

use std::ops::RangeInclusive;

use redb::{Database, ReadableTable, TableError};

use super::layout::{
    Accepted, BALLOTS, CHOSEN, ENTRIES, FORMAT, META, META_CLUSTER, META_FORMAT, META_INCARNATION, PEERS,
    read_entry_row,
};
use super::mirror::Mirror;
use super::{Owner, read};
use crate::consensus::id::{ClusterId, Incarnation, Round};
use crate::error::{Error, Result};
use crate::machine::ROUND_MAX;
use crate::schema::codec;

/// Creates the tables of a new log, checks those of an old one, and loads the mirror.
pub(super) fn prepare(database: &Database, owner: Owner) -> Result<Mirror> {
    match stored_owner(database)? {
        None => create(database, owner).map_err(|e| Error::storage("the consensus log cannot be created", e))?,
        Some(stored) if stored.cluster != owner.cluster => {
            return Err(foreign(format!(
                "its consensus log belongs to the cluster {}, this node to {}: use the directory with the founders and the schema that it was made for",
                stored.cluster, owner.cluster
            )));
        }
        Some(stored) if stored.incarnation != owner.incarnation => {
            return Err(foreign(
                "its consensus log comes from another directory: a log must never be copied, since its copy would vote twice; put the directory's own log back".into(),
            ));
        }
        Some(_) => {}
    }
    let epoch = last_epoch(database)?;
    load(database, epoch)
}

/// The epoch that this node entered last.
fn last_epoch(database: &Database) -> Result<u64> {
    let transaction = read(database)?;
    let chosen = transaction.open_table(CHOSEN).map_err(damaged)?;
    let last = chosen.last().map_err(damaged)?;
    Ok(last.map_or(0, |(epoch, _)| epoch.value()))
}

fn stored_owner(database: &Database) -> Result<Option<Owner>> {
    let transaction = read(database)?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(damaged(error)),
    };
    let get = |name: &str| -> Result<Vec<u8>> {
        let row = meta.get(name).map_err(damaged)?;
        row.map(|row| row.value().to_vec()).ok_or_else(|| damaged(format!("its `{name}` is missing")))
    };
    let format: u32 = codec::decode(&get(META_FORMAT)?).map_err(damaged)?;
    if format != FORMAT {
        return Err(foreign(format!(
            "its consensus log has format {format}, this program reads format {FORMAT}: open it with the version of Netabase that wrote it"
        )));
    }
    let cluster: ClusterId = codec::decode(&get(META_CLUSTER)?).map_err(damaged)?;
    let incarnation: Incarnation = codec::decode(&get(META_INCARNATION)?).map_err(damaged)?;
    Ok(Some(Owner { cluster, incarnation }))
}

fn create(database: &Database, owner: Owner) -> Result<(), redb::Error> {
    let encode = |value: Result<Vec<u8>, codec::CodecError>| value.map_err(|e| redb::Error::Corrupted(e.to_string()));
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_FORMAT, encode(codec::encode(&FORMAT))?.as_slice())?;
        meta.insert(META_CLUSTER, encode(codec::encode(&owner.cluster))?.as_slice())?;
        meta.insert(META_INCARNATION, encode(codec::encode(&owner.incarnation))?.as_slice())?;
        transaction.open_table(BALLOTS)?;
        transaction.open_table(ENTRIES)?;
        transaction.open_table(CHOSEN)?;
        transaction.open_table(PEERS)?;
    }
    transaction.commit()?;
    Ok(())
}

/// What memory keeps of this epoch, from the file.
pub(super) fn load(database: &Database, epoch: u64) -> Result<Mirror> {
    let transaction = read(database)?;
    let ballots = transaction.open_table(BALLOTS).map_err(damaged)?;
    let mut mirror = Mirror {
        epoch,
        ballot: ballots.get(epoch).map_err(damaged)?.map_or(0, |ballot| ballot.value()),
        ..Mirror::default()
    };
    for row in transaction.open_table(CHOSEN).map_err(damaged)?.range(..=epoch).map_err(damaged)? {
        let (of, through) = row.map_err(damaged)?;
        if through.value() > ROUND_MAX {
            return Err(damaged(format!("its round {} is greater than any", through.value())));
        }
        if of.value() == epoch {
            mirror.chosen = through.value();
        } else {
            mirror.sealed.insert(of.value(), through.value());
        }
    }
    let entries = transaction.open_table(ENTRIES).map_err(damaged)?;
    for row in entries.range((epoch, mirror.chosen + 1)..=(epoch, Round::MAX)).map_err(damaged)? {
        let (key, value) = row.map_err(damaged)?;
        let (ballot, entry) = read_entry_row(value.value()).ok_or_else(|| damaged("a row of it is cut short"))?;
        mirror.accepted.insert(key.value().1, (ballot, entry));
    }
    for row in transaction.open_table(PEERS).map_err(damaged)?.iter().map_err(damaged)? {
        let (peer, row) = row.map_err(damaged)?;
        let peer = libp2p::PeerId::from_bytes(peer.value()).map_err(damaged)?;
        mirror.peers.insert(peer, codec::decode(row.value()).map_err(damaged)?);
    }
    Ok(mirror)
}

/// The rows of these rounds, without a gap, as many as fit into `bytes_max`, at least one.
pub(super) fn read_rows(
    database: &Database,
    spans: Vec<(u64, RangeInclusive<Round>)>,
    bytes_max: usize,
) -> Result<Vec<Accepted>> {
    let transaction = read(database)?;
    let entries = transaction.open_table(ENTRIES).map_err(damaged)?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    for (epoch, rounds) in spans {
        let (from, through) = rounds.clone().into_inner();
        let mut stored = entries.range((epoch, from)..=(epoch, through)).map_err(damaged)?;
        for expected in rounds {
            let Some(row) = stored.next() else { return Ok(rows) };
            let (key, value) = row.map_err(damaged)?;
            let round = key.value().1;
            if round != expected {
                // Rows before the first one kept were pruned; the caller needs a snapshot instead.
                return Ok(rows);
            }
            let (ballot, entry) = read_entry_row(value.value()).ok_or_else(|| damaged("a row of it is cut short"))?;
            bytes += entry.body.len();
            if !rows.is_empty() && bytes > bytes_max {
                return Ok(rows);
            }
            rows.push(Accepted { round, ballot, entry });
        }
    }
    Ok(rows)
}

/// The round of the first row that is kept.
pub(super) fn first_round(database: &Database) -> Result<Option<Round>> {
    let transaction = read(database)?;
    let entries = transaction.open_table(ENTRIES).map_err(damaged)?;
    Ok(entries.first().map_err(damaged)?.map(|(key, _)| key.value().1))
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::DataDirectory { reason: format!("its consensus log is damaged: {what}") }
}

fn foreign(reason: String) -> Error {
    Error::DataDirectory { reason }
}
