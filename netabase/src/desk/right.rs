//! What a client may do, by its role in the log.

use serde::{Deserialize, Serialize};

use crate::command::MemberRole;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Right {
    Read,
    Write,
}

impl Right {
    /// Nodes have none here: they have their own records, and their own way to the leader.
    pub(super) fn of(role: MemberRole) -> Option<Right> {
        match role {
            MemberRole::Client => Some(Right::Write),
            MemberRole::Reader => Some(Right::Read),
            MemberRole::Voter | MemberRole::Learner => None,
        }
    }
}
