//! One survivor's directory becomes a new cluster of one, when a majority is lost for good.
//!
//! ```text
//! store ─copy─▶ store.new ◀─ chosen rows, then accepted ones        the old directory is as it was
//! ─▶ marker (the point of no return) ─▶ swap ─▶ old log aside ─▶ new log ─▶ card ─▶ marker gone
//! ```
//! Must hold: before the marker is durable nothing of the old directory has changed that it would miss; after it, whoever
//! opens the directory completes what it says, before anything else; no log of the old cluster is ever voted with again,
//! nor is it removed; the card is written last.

use std::ops::Bound;
use std::sync::Arc;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::assemble::founders_of;
use super::card::Card;
use super::lapse::{Unusable, is_older, open_log};
use super::vault;
use super::volume::{Side, Volume};
use crate::command::{BatchBuilder, Entry, EntryIds};
use crate::consensus::{Charter, Epoch, Log, Owner, Round, Voters, member_id};
use crate::entropy;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::schema::{Catalog, codec};
use crate::storage::archive::ArchiveError;
use crate::storage::{Engine, Store, StoreError, StoreKind, Sum, layout};

/// What sets the marker apart from that of a snapshot's installation.
pub(super) const MAGIC: &[u8; 8] = b"netalone";
/// Sessions, since nobody can go on with one, and who took part.
const LEFT_BEHIND: [u8; 2] = [layout::SPACE_SESSION, layout::SPACE_ROSTER];
/// Rows read from the log at once, or copied in one write.
const BATCH_BYTES: usize = 8 << 20;
/// What may wait in memory to be flushed.
const OVERLAY_BYTES: usize = 64 << 20;

/// That this cluster was made of what one node had of another, which had lost a majority: see
/// [`Start::recover_alone`](crate::Start::recover_alone).
///
/// What was lost is not in here, since nobody knows it: whatever the lost nodes had agreed on without this one. What was
/// acknowledged is with a majority, so this node need not have had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recovery {
    /// The id of the cluster that was left.
    pub left: String,
    /// The round through which this node knew what was agreed on. Everything up to it is here.
    pub agreed: u64,
    /// How many rounds after it were kept though it was not known whether they were agreed on: this node had voted for
    /// them. Writes in them may have been acknowledged, may have failed, or may still have been under way.
    pub unconfirmed: u64,
    /// How many rounds this node had voted for and could not keep, since one before them was missing, or since the list of
    /// voters was about to change.
    pub dropped: u64,
    /// The greatest round that this node had voted for or knew of. The lost nodes may have gone on beyond.
    pub heard: u64,
    /// The consensus log could not be read: what was not in the synced store yet is lost, acknowledged or not.
    pub without_log: bool,
}

/// What is to be completed.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    card: Vec<u8>,
    round: Round,
    /// The kind of the store, by its name.
    kind: String,
}

impl Marker {
    fn encode(&self) -> Result<Vec<u8>> {
        let body = codec::encode(self).map_err(|error| Error::storage("the marker cannot be written", error))?;
        Ok([MAGIC.as_slice(), blake3::hash(&body).as_bytes(), &body].concat())
    }

    /// `None`: a marker of another kind.
    fn decode(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Ok(None) };
        let body = rest.split_first_chunk::<32>().filter(|(hash, body)| blake3::hash(body).as_bytes() == *hash);
        let marker = body.and_then(|(_, body)| codec::decode(body).ok());
        marker.map(Some).ok_or_else(|| Error::DataDirectory {
            reason:
                "its file `install` is damaged, in the middle of `recover_alone`: check the disk, then restore the \
                     directory from a backup"
                    .into(),
        })
    }
}

/// The card of a directory that was used before.
///
/// # Errors
/// [`Error::Configuration`] when it was not.
pub(crate) fn used(volume: &dyn Volume) -> Result<Card> {
    volume.read_card()?.map(|bytes| Card::decode(&bytes)).transpose()?.ok_or_else(|| {
        refused("there is nothing to recover in this directory: name the one that the surviving node has used")
    })
}

fn refused(reason: &str) -> Error {
    Error::Configuration { option: "recover_alone", reason: reason.into() }
}

/// Makes this directory one of a cluster of one, or completes it where that was begun.
pub(crate) async fn recover(volume: &Arc<dyn Volume>, me: PeerId, catalog: Catalog, kind: StoreKind) -> Result<()> {
    if complete(&**volume, kind).await? {
        return Ok(());
    }
    let mut card = used(&**volume)?;
    if card.peer != me.to_string() {
        return Err(Error::DataDirectory {
            reason: format!("it belongs to the node {}, this one is {me}: use that node's `identity.key`", card.peer),
        });
    }
    let installing = vault::resume(&**volume, kind)?;
    let owner = Owner { cluster: card.cluster, incarnation: card.incarnation };
    let log = match open_log(&**volume, owner) {
        Ok(log) => Some(log),
        Err(Unusable::Gone(reason)) if kind == StoreKind::Memory => {
            return Err(Error::DataDirectory {
                reason: format!("{reason}, and its records were kept in memory: restore it from a backup"),
            });
        }
        Err(Unusable::Gone(reason)) => {
            tracing::warn!(reason, "what is not in the store of this directory is lost");
            None
        }
        Err(Unusable::Failed(error)) => return Err(error),
    };
    if let Some(installation) = installing {
        // What is made beside the store would be taken for what its marker speaks of.
        let machine = Machine::open(Store::open(volume.open_store(kind)?)?, catalog.clone(), founders_of(&card))?;
        let (applied, epoch) = (machine.applied(), Epoch(machine.roster().epoch));
        drop(machine);
        if let Some(log) = &log {
            if kind != StoreKind::Memory && is_older(log, applied, Some(installation)) {
                // As a start does, before that can no longer be seen (D9).
                let lapses = card.lapses + 1;
                card = card.lapsed(lapses, "its consensus log is older than its records");
                volume.write_card(&card.encode()?)?;
            }
            log.install(epoch, installation.round)
                .await
                .map_err(|_| Error::Storage { reason: "the consensus log cannot be written".into(), source: None })?;
        }
        vault::finish(&**volume)?;
    }
    let (files, reader) = (Arc::clone(volume), log.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let prepared = Survivor { volume: &*files, card, me, catalog, kind, log: reader.as_ref() }.prepare();
        if prepared.is_err() {
            // Of no use to anybody, and it may be what filled the disk.
            let _ = files.drop_new_store();
        }
        prepared
    });
    let prepared = prepared.await;
    if let Some(log) = log {
        let closed = log.closed();
        drop(log);
        closed.await;
    }
    volume.write_marker(&prepared.map_err(|_| Error::ShutDown)??.encode()?)?;
    complete(&**volume, kind).await.map(drop)
}

/// Before a directory is opened: completes what a crash interrupted. `false`: there was nothing.
pub(super) async fn complete(volume: &dyn Volume, kind: StoreKind) -> Result<bool> {
    let Some(marker) = volume.read_marker()?.map(|bytes| Marker::decode(&bytes)).transpose()?.flatten() else {
        return Ok(false);
    };
    let of = &marker.kind;
    if *of != format!("{kind:?}") {
        return Err(Error::DataDirectory {
            reason: format!(
                "`recover_alone` was begun in it with `StoreKind::{of}`, and it was opened with `StoreKind::{kind:?}`: \
                 start it with `StoreKind::{of}`"
            ),
        });
    }
    let card = Card::decode(&marker.card)?;
    let now = volume.read_card()?.map(|bytes| Card::decode(&bytes)).transpose()?;
    // Without any card, too: the marker says all that is needed.
    if now.as_ref() != Some(&card) {
        volume.swap_store(kind, marker.round)?;
        volume.leave_log(card.recovery.as_ref().map_or("left", |recovery| &recovery.left))?;
        let owner = Owner { cluster: card.cluster, incarnation: card.incarnation };
        let log = Log::open(volume.open_log()?, owner)?;
        let followed = log.install(Epoch(0), marker.round).await;
        let closed = log.closed();
        drop(log);
        closed.await;
        if followed.is_err() {
            return Err(Error::Storage {
                reason:
                    "the consensus log of the new cluster cannot be written: check the disk, then start this node again"
                        .into(),
                source: None,
            });
        }
        volume.write_card(&marker.card)?;
        tell(&card);
    }
    volume.remove_marker()?;
    volume.remove_side(Side::Mark)?;
    volume.remove_side(Side::Incoming)?;
    Ok(true)
}

fn tell(card: &Card) {
    let Some(recovery) = &card.recovery else { return };
    tracing::warn!(
        left = recovery.left,
        cluster = %card.cluster,
        agreed = recovery.agreed,
        unconfirmed = recovery.unconfirmed,
        dropped = recovery.dropped,
        heard = recovery.heard,
        without_log = recovery.without_log,
        "this node is a new cluster of one: what the others had agreed on without it is lost, acknowledged or not"
    );
}

/// The old directory, which is only read, and what is to be made of it.
struct Survivor<'a> {
    volume: &'a dyn Volume,
    card: Card,
    me: PeerId,
    catalog: Catalog,
    kind: StoreKind,
    /// `None`: it cannot be used.
    log: Option<&'a Log>,
}

impl Survivor<'_> {
    /// Makes the store of the new cluster beside the old one, durably.
    fn prepare(self) -> Result<Marker> {
        let engine = self.copy()?;
        let store = Store::open(Arc::clone(&engine))?;
        let mut machine = Machine::open(store, self.catalog.clone(), founders_of(&self.card))?;
        if let Some(log) = self.log {
            apply_chosen(&mut machine, log)?;
        }
        let myself = member_id(&self.me);
        if matches!(&machine.roster().voters[..], [only] if only.id == myself) {
            return Err(refused(
                "this node is the only voter of its cluster, so that no majority is lost: start it without `recover_alone`",
            ));
        }
        let agreed = machine.applied();
        let (unconfirmed, voted, heard) = match self.log {
            Some(log) => apply_accepted(&mut machine, log)?,
            None => (0, 0, agreed),
        };
        let recovery = Recovery {
            left: self.card.cluster.to_string(),
            agreed,
            unconfirmed,
            dropped: voted - unconfirmed,
            heard,
            without_log: self.log.is_none(),
        };
        // A round of its own, so that no store or snapshot of the old cluster has the same one.
        let body = BatchBuilder::new().finish();
        let entry = Entry { id: EntryIds::new(entropy::bytes()).next(&body), body };
        let round = machine.applied() + 1;
        machine.apply(round, &entry)?;
        flush(&mut machine)?;
        drop(machine);
        forget(&*engine)?;

        let mut charter = Charter::founded(&Voters::new(vec![self.me]), &self.catalog);
        charter.salt = entropy::bytes();
        let cluster = charter.cluster().ok_or(Error::ShutDown)?;
        if self.kind == StoreKind::Memory {
            self.pack(engine, cluster.0)?;
        }
        let card = Card::new(charter, cluster, self.me.to_string(), Vec::new()).recovered(recovery);
        Ok(Marker { card: card.encode()?, round, kind: format!("{:?}", self.kind) })
    }

    /// What the store holds, in an engine that may be changed.
    fn copy(&self) -> Result<Arc<dyn Engine>> {
        let old = self.volume.open_store(self.kind)?;
        let Some(new) = self.volume.make_store(self.kind)? else { return Ok(old) };
        let snapshot = old.snapshot()?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for row in snapshot.scan(Bound::Unbounded, Bound::Unbounded, false)? {
            let (key, value) = row?;
            bytes += key.len() + value.len();
            batch.push((key, Some(value)));
            if bytes >= BATCH_BYTES {
                new.write(&mut batch.drain(..), true)?;
                bytes = 0;
            }
        }
        new.write(&mut batch.into_iter(), true)?;
        Ok(new)
    }

    /// A store in memory begins with a snapshot.
    fn pack(&self, engine: Arc<dyn Engine>, cluster: [u8; 16]) -> Result<()> {
        self.volume.remove_side(Side::Mark)?;
        self.volume.remove_side(Side::Incoming)?;
        let file = self.volume.open_side(Side::Incoming)?;
        let packed = Store::open(engine)?.durable_state().pack(cluster, &*file, &|| true);
        packed.map(drop).map_err(|error| match error {
            ArchiveError::Disk(error) => StoreError::Io(error).into(),
            other => Error::Storage { reason: format!("the records cannot be written: {other}"), source: None },
        })
    }
}

/// Applies what is known to be agreed on.
fn apply_chosen(machine: &mut Machine, log: &Log) -> Result<()> {
    let chosen: Round = log.durable(|log| log.chosen());
    while machine.applied() < chosen {
        let rows = log.read_chosen(machine.applied() + 1, BATCH_BYTES)?;
        if rows.is_empty() {
            return Err(Error::DataDirectory {
                reason: format!(
                    "its records end at round {}, but its consensus log begins later: restore it from a backup",
                    machine.applied()
                ),
            });
        }
        for row in rows {
            machine.apply(row.round, &row.entry)?;
        }
        if machine.overlay_bytes() > OVERLAY_BYTES {
            flush(machine)?;
        }
    }
    Ok(())
}

/// Applies what this node voted for without knowing what became of it: what was acknowledged had a majority, and this may
/// be all that is left of it. Nothing behind a gap, where it cannot be told what came before; nothing behind a seal, where
/// it is void. Gives how many rounds were applied, how many there were, and the greatest.
fn apply_accepted(machine: &mut Machine, log: &Log) -> Result<(u64, u64, Round)> {
    let known = machine.applied();
    let rows: Vec<_> = log.durable(|log| log.accepted_from(known + 1).collect());
    let heard = rows.last().map_or(known, |row| row.round);
    let (epoch, voted) = (log.epoch().0, rows.len() as u64);
    for row in rows {
        if row.round != machine.applied() + 1 || machine.roster().epoch != epoch {
            break;
        }
        machine.apply(row.round, &row.entry)?;
    }
    Ok((machine.applied() - known, voted, heard))
}

fn flush(machine: &mut Machine) -> Result<()> {
    if let Some(flush) = machine.begin_flush() {
        drop(machine.end_flush(flush.run()?)?);
    }
    Ok(())
}

/// Removes what the new cluster does not take over.
fn forget(engine: &dyn Engine) -> Result<()> {
    let snapshot = engine.snapshot()?;
    let (mut gone, mut sum) = (Vec::new(), Sum::stored(&*snapshot)?);
    for space in LEFT_BEHIND {
        for row in snapshot.scan(Bound::Included(&[space]), Bound::Excluded(&[space + 1]), false)? {
            let (key, value) = row?;
            if Sum::covers(&key) {
                sum.subtract(&key, &value);
            }
            gone.push((key, None));
        }
    }
    gone.push(sum.row());
    Ok(engine.write(&mut gone.into_iter(), true)?)
}

#[cfg(test)]
mod tests;
