//! Who takes part: the replicated list of members, invites, and the voters of the epoch.
//!
//! ```text
//! Invite ─▶ Admit ─▶ member ─ a voter to be ─▶ Seal ─▶ voter ─ Remove ─▶ Seal ─▶ departed
//! ```
//! Must hold: a function of the log alone (no clock: who honours an invite looks at its expiry); `voters` changes with a
//! seal only; everything is bounded, and what is dropped for that is the oldest in log order. One row of the store, written
//! in the round that changes it; before the first change there is none and the founders are the list. Which life of a voter
//! votes in an epoch is what it had said of itself before the seal: so a node that lost its memory, or its directory, has no
//! vote in an epoch in which it may have voted before (D9, D14).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::sessions::Place;
use crate::Error;
use crate::command::{InviteHash, Life, MemberId, MemberRole, Reform, ReformRefusal, Seal, VOTERS_MAX};
use crate::schema::{RecordId, codec};
use crate::storage::{Rows, StoreError, WriteSet, layout};

/// Invites that are remembered, used or not.
const INVITES_MAX: usize = 1_024;
/// Nodes, voting or not.
const NODES_MAX: usize = 256;
/// Clients and readers; one more ends the one that was admitted first.
const CLIENTS_MAX: usize = 4_096;
/// Members that left and are remembered, so that they are told.
const DEPARTED_MAX: usize = 1_024;

/// One who takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    /// What it is, or, of a voter, is to be from the next epoch on.
    pub(crate) role: MemberRole,
    pub(crate) addresses: Vec<String>,
    /// In which life it last said to be.
    pub(crate) life: Option<Life>,
    /// The newest version that it reads, of each record type that it has.
    pub(crate) reads: BTreeMap<RecordId, u8>,
    admitted: Place,
}

/// One who votes in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Voter {
    pub(crate) id: MemberId,
    /// The life that votes; a founder that has said nothing of it: the one that its peers met first.
    pub(crate) life: Option<Life>,
}

/// An invite that was given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Invited {
    role: MemberRole,
    expires_at_ms: u64,
    used_by: Option<MemberId>,
    given: Place,
}

/// Who takes part, as of one round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roster {
    /// The epoch, and the round of the seal that began it; 0 for the founders' epoch.
    pub(crate) epoch: u64,
    pub(crate) sealed: u64,
    /// Who vote in this epoch, in order.
    pub(crate) voters: Vec<Voter>,
    /// Who of them campaigns first; nobody in the founders' epoch.
    pub(crate) first: Option<MemberId>,
    members: BTreeMap<MemberId, Membership>,
    invites: BTreeMap<InviteHash, Invited>,
    /// Who left, and where in the log.
    departed: BTreeMap<MemberId, Place>,
    /// The record types that the cluster began with, and their versions.
    founded: BTreeMap<RecordId, u8>,
}

impl Roster {
    /// The founders' list: before the log says anything. All of them have these record types in these versions.
    pub(crate) fn founded(voters: impl IntoIterator<Item = MemberId>, founded: BTreeMap<RecordId, u8>) -> Self {
        let beginning = Place { round: 0, position: 0 };
        let (role, reads) = (MemberRole::Voter, &founded);
        let founder =
            || Membership { role, addresses: Vec::new(), life: None, reads: reads.clone(), admitted: beginning };
        let members: BTreeMap<MemberId, Membership> = voters.into_iter().map(|voter| (voter, founder())).collect();
        let voters = members.keys().map(|id| Voter { id: id.clone(), life: None }).collect();
        Roster { voters, members, founded, ..Roster::default() }
    }

    /// What the store holds, if the log has changed anything.
    pub(super) fn load(rows: &dyn Rows) -> Result<Option<Roster>, Error> {
        let Some(row) = rows.get(&layout::roster_key())? else { return Ok(None) };
        let roster = codec::decode(&row)
            .map_err(|error| StoreError::Damaged(format!("the list of members does not decode: {error}")))?;
        Ok(Some(roster))
    }

    /// Its row over that of `rows`, the same bytes on every node.
    pub(super) fn row(&self, rows: &dyn Rows) -> Result<WriteSet, Error> {
        let row = codec::encode(self)
            .map_err(|error| StoreError::Failed(format!("the list of members cannot be written: {error}")))?;
        let (key, mut changes) = (layout::roster_key(), WriteSet::default());
        let before = rows.get(&key)?;
        changes.replace(key, before.as_deref(), Some(Bytes::from(row)));
        Ok(changes)
    }

    /// Everybody who takes part, voters that are to leave not among them.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&MemberId, &Membership)> {
        self.members.iter()
    }

    pub(crate) fn member(&self, member: &MemberId) -> Option<&Membership> {
        self.members.get(member)
    }

    /// How this one votes in this epoch, if it does.
    pub(crate) fn voter(&self, member: &MemberId) -> Option<&Voter> {
        self.voters.binary_search_by(|voter| voter.id.cmp(member)).ok().map(|at| &self.voters[at])
    }

    pub(crate) fn is_voter(&self, member: &MemberId) -> bool {
        self.voter(member).is_some()
    }

    /// Whether anything but the founding has happened to it.
    pub(crate) fn is_founded_only(&self) -> bool {
        self.epoch == 0 && self.invites.is_empty() && self.departed.is_empty()
    }

    /// The record types that the cluster began with, and their versions.
    pub(super) fn founded_with(&self) -> &BTreeMap<RecordId, u8> {
        &self.founded
    }

    /// The newest version of a record type that every member with a copy reads, and every voter.
    pub(crate) fn readable(&self, record: RecordId) -> Option<u8> {
        if self.voters.iter().any(|voter| !self.members.contains_key(&voter.id)) {
            // One that is about to leave still votes: what it reads is not kept.
            return None;
        }
        let nodes = self.members.values().filter(|member| member.role.is_node());
        nodes.map(|member| member.reads.get(&record).copied()).min().flatten()
    }

    /// The members with a copy that do not read this version of a record type.
    pub(crate) fn unable(&self, record: RecordId, version: u8) -> impl Iterator<Item = &MemberId> {
        let reads = move |member: &Membership| member.reads.get(&record).is_some_and(|newest| *newest >= version);
        self.members.iter().filter(move |(_, member)| member.role.is_node() && !reads(member)).map(|(id, _)| id)
    }

    /// Whether it left, and nothing brought it back.
    pub(crate) fn has_left(&self, member: &MemberId) -> bool {
        self.departed.contains_key(member)
    }

    pub(crate) fn departed(&self) -> impl Iterator<Item = &MemberId> {
        self.departed.keys()
    }

    /// The invites that may be presented.
    pub(crate) fn invites(&self) -> impl Iterator<Item = &InviteHash> {
        self.invites.keys()
    }

    /// Whether this invite may be used by this member, and for what.
    pub(crate) fn invited(&self, hash: &InviteHash, member: &MemberId) -> Result<MemberRole, ReformRefusal> {
        let invited = self.invites.get(hash).ok_or(ReformRefusal::UnknownInvite)?;
        match &invited.used_by {
            Some(other) if other != member => Err(ReformRefusal::UsedInvite),
            _ => Ok(invited.role),
        }
    }

    /// Whether this member has joined on this invite.
    pub(crate) fn has_used(&self, hash: &InviteHash, member: &MemberId) -> bool {
        self.invites.get(hash).is_some_and(|invited| invited.used_by.as_ref() == Some(member))
    }

    /// When this invite expires, in Unix milliseconds: for who honours it to hold against a clock.
    pub(crate) fn expires_at_ms(&self, hash: &InviteHash) -> Option<u64> {
        self.invites.get(hash).map(|invited| invited.expires_at_ms)
    }

    /// The voters that the next epoch is to have, in order; nothing, if it would be as this one.
    pub(crate) fn next_voters(&self) -> Option<Vec<Voter>> {
        let wanted = self.members.iter().filter(|(_, member)| member.role == MemberRole::Voter);
        let next: Vec<Voter> = wanted.map(|(id, member)| Voter { id: id.clone(), life: member.life }).collect();
        let same = next.len() == self.voters.len()
            && next.iter().zip(&self.voters).all(|(next, now)| next.id == now.id && !self.gains_vote(next));
        (!same && !next.is_empty()).then_some(next)
    }

    /// Whether this voter has a vote in the next epoch that it does not have in this one.
    pub(crate) fn gains_vote(&self, voter: &Voter) -> bool {
        voter.life.map_or(!self.is_voter(&voter.id), |life| !self.votes(&voter.id, life))
    }

    /// Whether this one votes in this epoch, in this life.
    pub(crate) fn votes(&self, member: &MemberId, life: Life) -> bool {
        self.voter(member).is_some_and(|voter| match voter.life {
            Some(named) => named == life,
            // Of a founder's first life its peers decide, by what they met first.
            None => life.lapses == 0,
        })
    }

    /// Changes the list, or says why not, and then nothing changed.
    pub(super) fn reform(&mut self, reform: &Reform, place: Place) -> Result<(), ReformRefusal> {
        match reform {
            Reform::Invite { hash, role, expires_at_ms } => {
                let invited = Invited { role: *role, expires_at_ms: *expires_at_ms, used_by: None, given: place };
                self.invites.entry(*hash).or_insert(invited);
                while self.invites.len() > INVITES_MAX {
                    drop_oldest(&mut self.invites, |invited| Some(invited.given));
                }
                Ok(())
            }
            Reform::Revoke { hash } => {
                self.invites.remove(hash);
                Ok(())
            }
            Reform::Admit { hash, member } => self.admit(hash, member, place),
            Reform::Remove { member } => self.remove(member, place),
            Reform::Present { member, life, addresses, reads } => {
                let known = self.members.get_mut(member).ok_or(ReformRefusal::NotAMember)?;
                known.life = Some(*life);
                known.addresses.clone_from(addresses);
                known.reads.clone_from(reads);
                Ok(())
            }
        }
    }

    fn admit(&mut self, hash: &InviteHash, member: &MemberId, place: Place) -> Result<(), ReformRefusal> {
        let role = self.invited(hash, member)?;
        let used = self.invites.get(hash).is_some_and(|invited| invited.used_by.is_some());
        if used {
            // It presents its invite again: it is in, or was removed since, which an old invite does not undo.
            return if self.members.contains_key(member) { Ok(()) } else { Err(ReformRefusal::UsedInvite) };
        }
        if role.is_node() {
            let nodes = self.members.values().filter(|member| member.role.is_node()).count();
            let voters = self.members.values().filter(|member| member.role == MemberRole::Voter).count();
            if nodes >= NODES_MAX || (role == MemberRole::Voter && voters >= VOTERS_MAX) {
                return Err(ReformRefusal::TooMany);
            }
        }
        if let Some(invited) = self.invites.get_mut(hash) {
            invited.used_by = Some(member.clone());
        }
        self.departed.remove(member);
        match self.members.get_mut(member) {
            // What it was invited to be more is a gain, what it was before stays otherwise: a voter does not become a
            // client by an invite.
            Some(known)
                if known.role.is_node() && !(known.role == MemberRole::Learner && role == MemberRole::Voter) => {}
            Some(known) => known.role = role,
            None => {
                let (addresses, reads) = (Vec::new(), BTreeMap::new());
                let member_to_be = Membership { role, addresses, life: None, reads, admitted: place };
                self.members.insert(member.clone(), member_to_be);
            }
        }
        let is_client = |member: &Membership| !member.role.is_node();
        while self.members.values().filter(|member| is_client(member)).count() > CLIENTS_MAX {
            drop_oldest(&mut self.members, |member| is_client(member).then_some(member.admitted));
        }
        Ok(())
    }

    fn remove(&mut self, member: &MemberId, place: Place) -> Result<(), ReformRefusal> {
        let Some(known) = self.members.get(member) else {
            return if self.has_left(member) { Ok(()) } else { Err(ReformRefusal::NotAMember) };
        };
        let voters = self.members.values().filter(|member| member.role == MemberRole::Voter).count();
        if known.role == MemberRole::Voter && voters == 1 {
            return Err(ReformRefusal::LastVoter);
        }
        self.members.remove(member);
        if !self.is_voter(member) {
            self.depart(member.clone(), place);
        }
        Ok(())
    }

    /// Ends the epoch; `false` when the seal is of another one, and void.
    pub(super) fn seal(&mut self, seal: &Seal, place: Place) -> bool {
        if seal.epoch != self.epoch || place.position != 0 {
            return false;
        }
        let stays = |voter: &&Voter| seal.voters.contains(&voter.id);
        let leaving: Vec<MemberId> =
            self.voters.iter().filter(|voter| !stays(voter)).map(|voter| voter.id.clone()).collect();
        for voter in leaving {
            // A voter that is still wanted had no place in this epoch: it follows as a learner until the next seal.
            if !self.members.contains_key(&voter) {
                self.depart(voter, place);
            }
        }
        self.epoch += 1;
        self.sealed = place.round;
        let life = |id: &MemberId| self.members.get(id).and_then(|member| member.life);
        self.voters = seal.voters.iter().map(|id| Voter { id: id.clone(), life: life(id) }).collect();
        self.first = Some(seal.first.clone());
        true
    }

    fn depart(&mut self, member: MemberId, place: Place) {
        self.departed.insert(member, place);
        while self.departed.len() > DEPARTED_MAX {
            drop_oldest(&mut self.departed, |left| Some(*left));
        }
    }
}

/// Drops the entry of the earliest place; those without one stay.
fn drop_oldest<K: Clone + Ord, V>(entries: &mut BTreeMap<K, V>, place: impl Fn(&V) -> Option<Place>) {
    let oldest = entries.iter().filter_map(|(key, value)| Some((place(value)?, key))).min().map(|(_, key)| key.clone());
    if let Some(oldest) = oldest {
        entries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
