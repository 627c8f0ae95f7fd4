//! Who takes part in the cluster, as the log says it: changes of the membership, and the seal that ends an epoch.
//!
//! A *reform* is asked for by a member and is an action of its session like a write. A *seal* is the leader's: the last
//! entry of an epoch, alone in it, which names the voters of the next one (DESIGN, "Rounds and epochs"). Encoded by the
//! codec, since they are rare and small; bounded, since they come from peers.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::encoded::Undecodable;
use crate::schema::{RECORD_TYPES_MAX, RecordId, codec};

/// Bytes of a peer id.
const MEMBER_ID_BYTES_MAX: usize = 64;
/// Addresses of one member.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// Bytes of an address as text.
pub(crate) const ADDRESS_BYTES_MAX: usize = 256;
/// Voters of one epoch: with more, elections and commits cost more than they protect.
pub(crate) const VOTERS_MAX: usize = 31;

/// A node or a client, by the bytes of its peer id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct MemberId(Vec<u8>);

impl MemberId {
    pub(crate) fn new(peer_id: Vec<u8>) -> Self {
        MemberId(peer_id)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().take(4).rev().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum MemberRole {
    /// Holds a full copy and votes, from the first epoch that names it on.
    Voter,
    /// Holds a full copy.
    Learner,
    /// Holds nothing; reads and writes.
    Client,
    /// Holds nothing; reads.
    Reader,
}

impl MemberRole {
    /// Whether it holds a full copy.
    pub(crate) fn is_node(self) -> bool {
        matches!(self, MemberRole::Voter | MemberRole::Learner)
    }
}

/// All that the log knows of an invite: the public key of which its secret is the private one.
pub(crate) type InviteHash = [u8; 32];

/// A change of who takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reform {
    /// Whoever knows the secret of this hash may join in this role; the first who does is the only one. The members that
    /// honour it look at their clocks, in Unix milliseconds; `apply` does not.
    Invite { hash: InviteHash, role: MemberRole, expires_at_ms: u64 },
    /// An invite is good for nothing any more. Who has used it stays.
    Revoke { hash: InviteHash },
    /// A member joins on an invite. Again by the same member, it changes nothing.
    Admit { hash: InviteHash, member: MemberId },
    /// A member leaves: at once, or, if it is a voter, with the next seal.
    Remove { member: MemberId },
    /// A member says in which life it is, and where it is reached. It votes in this life from the next seal on.
    /// Of each record type that its program has, it reads every version up to this one.
    Present { member: MemberId, life: Life, addresses: Vec<String>, reads: BTreeMap<RecordId, u8> },
}

/// Since when a node remembers what it voted for (D9, D14).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Life {
    /// Drawn at random when its data directory was made.
    pub(crate) incarnation: [u8; 16],
    /// How often it has lost its memory in this directory.
    pub(crate) lapses: u32,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incarnation[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "+{}", self.lapses)
    }
}

/// The end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    /// The epoch that ends. In any other one the seal is void.
    pub(crate) epoch: u64,
    /// Who votes in the next one.
    pub(crate) voters: Vec<MemberId>,
    /// Who of them campaigns first.
    pub(crate) first: MemberId,
}

/// What is in a command, with its bounds.
pub(super) trait Bounded: Serialize + DeserializeOwned {
    fn is_within_bounds(&self) -> bool;
}

impl Bounded for Reform {
    fn is_within_bounds(&self) -> bool {
        match self {
            Reform::Invite { .. } | Reform::Revoke { .. } => true,
            Reform::Remove { member } | Reform::Admit { member, .. } => is_id(member),
            Reform::Present { member, addresses, reads, .. } => {
                let fits = |address: &String| address.len() <= ADDRESS_BYTES_MAX;
                let are_bounded = addresses.len() <= ADDRESSES_MAX && reads.len() <= RECORD_TYPES_MAX;
                // There is no version 0: it would be the least that is read, and nobody could go over to it.
                let are_versions = !reads.values().any(|version| *version == 0);
                is_id(member) && are_bounded && are_versions && addresses.iter().all(fits)
            }
        }
    }
}

impl Bounded for Seal {
    fn is_within_bounds(&self) -> bool {
        (1..=VOTERS_MAX).contains(&self.voters.len())
            && self.voters.iter().all(is_id)
            && self.voters.is_sorted_by(|one, next| one < next)
            && self.voters.contains(&self.first)
    }
}

fn is_id(member: &MemberId) -> bool {
    (1..=MEMBER_ID_BYTES_MAX).contains(&member.0.len())
}

/// Total: what cannot be written is written as nothing, which decodes to nothing.
pub(super) fn encode<T: Bounded>(body: &T) -> Vec<u8> {
    codec::encode(body).unwrap_or_default()
}

/// Strict: one encoding a body.
pub(super) fn decode<T: Bounded>(bytes: &Bytes) -> Result<T, Undecodable> {
    let body: T = codec::decode(bytes).map_err(|_| Undecodable("no change of the membership"))?;
    if body.is_within_bounds() && encode(&body) == bytes[..] {
        Ok(body)
    } else {
        Err(Undecodable("a change of the membership beyond its bounds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> MemberId {
        MemberId::new(vec![byte; 38])
    }

    fn sealed(voters: Vec<MemberId>, first: MemberId) -> Result<Seal, Undecodable> {
        decode(&Bytes::from(encode(&Seal { epoch: 3, voters, first })))
    }

    #[test]
    fn a_seal_names_voters_in_order_and_one_of_them_first() {
        assert!(sealed(vec![id(1), id(2), id(3)], id(2)).is_ok());
        assert!(sealed(vec![], id(2)).is_err());
        assert!(sealed(vec![id(2), id(1)], id(2)).is_err());
        assert!(sealed(vec![id(1), id(1)], id(1)).is_err());
        assert!(sealed(vec![id(1)], id(2)).is_err());
        assert!(sealed((0..32).map(id).collect(), id(2)).is_err());
        assert!(sealed(vec![MemberId::new(vec![])], MemberId::new(vec![])).is_err());
        assert!(sealed(vec![MemberId::new(vec![1; 65])], MemberId::new(vec![1; 65])).is_err());
    }

    #[test]
    fn addresses_are_bounded() {
        let life = Life { incarnation: [1; 16], lapses: 0 };
        let present = |addresses: Vec<String>| {
            let reform = Reform::Present { member: id(1), life, addresses, reads: BTreeMap::new() };
            decode::<Reform>(&Bytes::from(encode(&reform)))
        };
        assert!(present(vec!["/ip4/127.0.0.1/tcp/1".into(); ADDRESSES_MAX]).is_ok());
        assert!(present(vec![String::new(); ADDRESSES_MAX + 1]).is_err());
        assert!(present(vec!["a".repeat(ADDRESS_BYTES_MAX + 1)]).is_err());
    }

    /// One member that says so would have every node stop, for good, where that record type is to be written.
    #[test]
    fn nobody_reads_version_zero() {
        let life = Life { incarnation: [1; 16], lapses: 0 };
        let present = |version: u8| {
            let reads = BTreeMap::from([(RecordId(7), version)]);
            let reform = Reform::Present { member: id(1), life, addresses: Vec::new(), reads };
            decode::<Reform>(&Bytes::from(encode(&reform)))
        };
        assert!(present(1).is_ok());
        assert!(present(0).is_err());
    }
}
