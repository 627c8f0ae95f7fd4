//! What became of a write: decided by `apply`, the same on every node, recorded in its session.

use serde::{Deserialize, Serialize};

use crate::schema::{IndexId, RecordId};
use crate::{Error, schema::Catalog};

/// Recorded for (session, number), and returned again to whoever repeats the command.
pub(crate) type Outcome = Result<Applied, Refusal>;

/// The write happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// The round in which it did.
    pub(crate) round: u64,
    /// Whether there was a record under its key before; of a transaction, under the key of its only write.
    pub(crate) existed: bool,
}

/// The write did not happen and never will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// Another record has this key of a unique index.
    UniqueViolation { record: RecordId, index: IndexId },
    /// An insert found a record under its key.
    AlreadyExists { record: RecordId },
    /// No record type of this id in the schema.
    UnknownRecord { record: RecordId },
    /// The value of the write, or the one that it would replace, is not one of this record type.
    Undecodable { record: RecordId, reason: String },
    /// The value is in a later version than the one in which records of this type are written.
    NotActive { record: RecordId, active: u8 },
    /// The value is in an earlier version than any in which there are rows of this type.
    Outdated { record: RecordId, version: u8, active: u8 },
    /// Something that the transaction read has changed since.
    Conflict,
    /// A change of the membership that cannot be.
    Reform(ReformRefusal),
}

/// Why a change of the membership was refused. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReformRefusal {
    /// No such invite was given out, or it was revoked, or forgotten behind many later ones.
    UnknownInvite,
    /// Another member used it first, or the one who did was removed since.
    UsedInvite,
    /// It does not take part.
    NotAMember,
    /// Without it nobody would vote.
    LastVoter,
    /// There are as many as there may be.
    TooMany,
}

/// The longest reason that is recorded: it is replicated state.
const REASON_BYTES_MAX: usize = 200;

/// As much of a reason as is recorded.
pub(crate) fn short_reason(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let end = (0..=REASON_BYTES_MAX).rev().find(|at| reason.is_char_boundary(*at));
        reason.truncate(end.unwrap_or(0));
    }
    reason
}

impl Refusal {
    pub(crate) fn undecodable(record: RecordId, reason: String) -> Self {
        Refusal::Undecodable { record, reason: short_reason(reason) }
    }

    /// What the caller of the write is told.
    pub(crate) fn into_error(self, catalog: &Catalog) -> Error {
        let name =
            |record: RecordId| catalog.record(record).map_or_else(|| format!("{record:?}"), |r| r.name.to_owned());
        match self {
            Refusal::UniqueViolation { record, index } => {
                let glue = catalog.record(record).and_then(|glue| glue.of_index(index));
                let index_name = glue.and_then(|glue| glue.index(index));
                Error::UniqueViolation {
                    record: name(record),
                    index: index_name.map_or_else(|| format!("{index:?}"), |index| index.name.to_owned()),
                }
            }
            Refusal::Outdated { record, version, active } => Error::SchemaMismatch {
                ours: format!("`{}` version {version}", name(record)),
                theirs: format!("`{}` version {active}, which is in use", name(record)),
            },
            Refusal::AlreadyExists { record } => Error::AlreadyExists { record: name(record) },
            Refusal::UnknownRecord { record } => Error::UpgradePending { record: name(record), active: None },
            Refusal::NotActive { record, active } => {
                Error::UpgradePending { record: name(record), active: Some(active) }
            }
            Refusal::Undecodable { record, reason } => Error::Codec { record: name(record), reason },
            Refusal::Conflict => Error::Conflict,
            Refusal::Reform(refusal) => refusal.into_error(),
        }
    }

    /// What keeping it takes, the same on every node.
    pub(crate) fn reason_bytes(&self) -> usize {
        match self {
            // Not its length: the words are those of a user's `Deserialize`, which need not be the same in every program.
            Refusal::Undecodable { .. } => REASON_BYTES_MAX,
            _ => 0,
        }
    }
}

impl ReformRefusal {
    /// What whoever asked for it is told.
    pub(crate) fn into_error(self) -> Error {
        let invite = |reason: &str| Error::InvalidInvite { reason: reason.to_owned() };
        let configuration =
            |option: &'static str, reason: &str| Error::Configuration { option, reason: reason.to_owned() };
        match self {
            ReformRefusal::UnknownInvite => {
                invite("the cluster does not know it: it was revoked, or never given out; ask for a new one")
            }
            ReformRefusal::UsedInvite => {
                invite("it was used already, and is good for the one who used it first only; ask for a new one")
            }
            ReformRefusal::NotAMember => configuration("remove_member", "no member of the cluster has this id"),
            ReformRefusal::LastVoter => configuration(
                "remove_member",
                "it is the only voter: invite another voter first, or shut it down if the cluster is to end",
            ),
            ReformRefusal::TooMany => {
                configuration("invite", "the cluster has as many members of this kind as it may: remove one first")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        let Refusal::Undecodable { reason, .. } = Refusal::undecodable(RecordId(1), "€".repeat(100)) else {
            panic!("another refusal")
        };
        assert_eq!(reason, "€".repeat(66));
    }
}
