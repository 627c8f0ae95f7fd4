//! What a peer is to the cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::command::MemberRole;

/// What a peer is to its cluster, or may become with an invite.
// The order of the variants is part of an invite's bytes: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Role {
    /// Holds a full copy and votes.
    Voter,
    /// Holds a full copy and does not vote.
    Learner,
    /// Holds no data; reads and writes at a member.
    Client,
    /// Holds no data; reads at a member, and may not write.
    Reader,
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Voter => MemberRole::Voter,
            Role::Learner => MemberRole::Learner,
            Role::Client => MemberRole::Client,
            Role::Reader => MemberRole::Reader,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Voter => "voter",
            Role::Learner => "learner",
            Role::Client => "client",
            Role::Reader => "reader",
        })
    }
}
