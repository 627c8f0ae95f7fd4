//! What became of a write: decided by `apply`, the same on every node, recorded in its session.

use serde::{Deserialize, Serialize};

use crate::schema::{IndexId, RecordId};

/// Recorded for (session, number), and returned again to whoever repeats the command.
pub(crate) type Outcome = Result<Applied, Refusal>;

/// The write happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// The round in which it did.
    pub(crate) round: u64,
    /// Whether there was a record under its key before.
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
}

/// The longest reason that a refusal keeps: it is recorded, replicated state.
const REASON_BYTES_MAX: usize = 200;

impl Refusal {
    pub(crate) fn undecodable(record: RecordId, mut reason: String) -> Self {
        if reason.len() > REASON_BYTES_MAX {
            let end = (0..=REASON_BYTES_MAX)
                .rev()
                .find(|at| reason.is_char_boundary(*at));
            reason.truncate(end.unwrap_or(0));
        }
        Refusal::Undecodable { record, reason }
    }

    /// What keeping it takes, the same on every node.
    pub(crate) fn reason_bytes(&self) -> usize {
        match self {
            Refusal::Undecodable { reason, .. } => reason.len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        let Refusal::Undecodable { reason, .. } =
            Refusal::undecodable(RecordId(1), "€".repeat(100))
        else {
            panic!("another refusal")
        };
        assert_eq!(reason, "€".repeat(66));
    }
}
