//! Whether the log that a directory has still speaks for this node.
//!
//! Must hold: a node whose log is gone, damaged or behind its store never votes again in the life before (D9), and that is
//! durable before a new log is made; a new log begins where the store is, so that the next start can tell again.

use std::sync::Arc;

use super::assemble::{Assembly, Opened};
use super::card::Card;
use super::volume::Volume;
use crate::consensus::{Epoch, Installation, Log, Owner, Reopen, Round, member_id};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::storage::{StoreError, StoreKind};

impl Assembly {
    /// A directory that was used before.
    pub(super) fn open_used(
        &self,
        mut card: Card,
        owner: Owner,
        machine: Machine,
        installing: Option<Installation>,
    ) -> Result<Opened> {
        let alone = machine.roster().voters.len() == 1;
        let (log, lapsed) = match self.open_log(owner) {
            Ok(log) if is_older(&log, machine.applied(), installing) && self.keeps(self.store) => {
                self.lapse(&mut card, alone, "its consensus log is older than its records")?;
                (log, true)
            }
            Ok(log) => (log, false),
            Err(Unusable::Gone(reason)) => {
                self.lapse(&mut card, alone, &reason)?;
                self.volume.set_log_aside()?;
                (self.new_log(owner)?, true)
            }
            Err(Unusable::Failed(error)) => return Err(error),
        };
        Ok(Opened { card, log, machine, installing, lapsed })
    }

    /// The card of a node that fetches all records anew: until they are here, it does not start without doing so.
    pub(super) fn to_be_rebuilt(&self, card: Card, is_new: bool, machine: &Machine) -> Result<Card> {
        let refused = |reason: &str| Err(Error::Configuration { option: "rebuild", reason: reason.into() });
        if is_new {
            return refused("this directory was never used: start it without `rebuild`");
        }
        if matches!(&machine.roster().voters[..], [only] if only.id == member_id(&self.identity.peer_id())) {
            return refused(
                "this node is the only voter of its cluster, so that nobody can be asked: restore a backup instead",
            );
        }
        let round = card.quarantine.unwrap_or(machine.applied());
        let card = card.quarantined(Some(round));
        self.volume.write_card(&card.encode()?)?;
        Ok(card)
    }

    pub(super) fn new_log(&self, owner: Owner) -> Result<Log> {
        Ok(Log::open(self.volume.open_log()?, owner)?.reopened_with(self.reopen_log()))
    }

    /// How the log is opened again after the disk was full.
    fn reopen_log(&self) -> Reopen {
        let volume = Arc::clone(&self.volume);
        Box::new(move || match volume.open_log() {
            Ok(database) => Ok(Some(database)),
            Err(error @ (StoreError::Damaged(_) | StoreError::Foreign(_))) => Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "the consensus log cannot be opened anew yet");
                Ok(None)
            }
        })
    }

    /// Opens the log that this directory is known to have.
    fn open_log(&self, owner: Owner) -> Result<Log, Unusable> {
        Ok(open_log(&*self.volume, owner)?.reopened_with(self.reopen_log()))
    }

    pub(super) fn keeps(&self, kind: StoreKind) -> bool {
        kind != StoreKind::Memory
    }

    /// Records that this node has lost its memory, before it says anything (D9); alone, there is nobody to follow.
    fn lapse(&self, card: &mut Card, alone: bool, reason: &str) -> Result<()> {
        if alone {
            return Err(Error::DataDirectory {
                reason: format!("{reason}; no other node holds a copy: restore this directory from a backup"),
            });
        }
        tracing::error!(reason, "this node does not vote any more in this epoch; it follows");
        *card = card.clone().lapsed(card.lapses + 1, reason);
        self.volume.write_card(&card.encode()?)
    }
}

/// The log of a node that lost its memory goes on from the round of its store: what came before is history.
pub(super) async fn catch_up(log: &Log, machine: &Machine) -> Result<()> {
    let written = log.install(Epoch(machine.roster().epoch), machine.applied()).await;
    written.map_err(|_| Error::Storage { reason: "the consensus log cannot be written".into(), source: None })
}

/// Opens the log that a directory is known to have.
pub(super) fn open_log(volume: &dyn Volume, owner: Owner) -> Result<Log, Unusable> {
    if !volume.has_log() {
        return Err(Unusable::Gone("its consensus log is gone".into()));
    }
    let database = volume.open_log().map_err(|error| match error {
        StoreError::Damaged(what) | StoreError::Foreign(what) => {
            Unusable::Gone(format!("its consensus log is damaged ({what})"))
        }
        other => Unusable::Failed(other.into()),
    })?;
    Log::open(database, owner).map_err(|error| match error {
        Error::DataDirectory { reason } => Unusable::Gone(reason),
        other => Unusable::Failed(other),
    })
}

/// Whether the log is not the one that was written with these records (D9). What is in the store of a snapshot that is
/// being installed, the log need not hold yet; but it must hold what it did when that began.
pub(super) fn is_older(log: &Log, applied: Round, installing: Option<Installation>) -> bool {
    let (epoch, chosen, ballot) = log.durable(|log| (log.epoch(), log.chosen(), log.ballot()));
    match installing {
        // In a later epoch than then, the log has followed already, and its ballots are that epoch's.
        Some(before) if epoch == before.epoch => chosen < before.chosen || ballot < before.ballot,
        Some(before) => epoch < before.epoch,
        None => chosen < applied,
    }
}

/// Why a log cannot be used.
pub(super) enum Unusable {
    /// It is gone, damaged, or another's: what this node promised is forgotten (D9).
    Gone(String),
    /// It may be fine, but cannot be read now.
    Failed(Error),
}
