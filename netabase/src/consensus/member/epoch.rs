//! From one epoch to the next, and who belongs to this one (DESIGN, "Rounds and epochs").
//!
//! ```text
//! seal applied ─▶ keeper gone ─▶ log enters the next epoch ─▶ a new seat ─▶ a new keeper, if this node votes there
//! ```
//! Must hold: the keeper of an epoch is gone, and everything it sent to the log is durable or refused, before anything of the
//! next one is said; what is said in an epoch is said under its number. A member that is in no epoch any more serves what
//! it has until a majority of the next one has entered it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;

use super::{Acquaintances, Member, copy, fetch};
use crate::command::MemberId;
use crate::consensus::addresses::member_id;
use crate::consensus::id::{Epoch, Incarnation, Voters};
use crate::consensus::leadership::Leadership;
use crate::error::{Error, Result};
use crate::machine::{Roster, Voter};

/// A peer by the bytes that the log knows it by; nothing for what is no peer id.
pub(crate) fn peer_of(member: &MemberId) -> Option<PeerId> {
    PeerId::from_bytes(member.as_bytes()).ok()
}

/// The voters of the roster's epoch.
pub(crate) fn voters_of(roster: &Roster) -> Voters {
    Voters::new(roster.voters.iter().filter_map(|voter| peer_of(&voter.id)).collect())
}

/// The lives of directories that the seal before the roster's epoch named.
pub(crate) fn named_in(roster: &Roster) -> HashMap<PeerId, Incarnation> {
    let named = |voter: &Voter| Some((peer_of(&voter.id)?, Incarnation(voter.life?.incarnation)));
    roster.voters.iter().filter_map(named).collect()
}

impl Member {
    /// Goes where the applied seals lead, and tells the network who takes part.
    pub(super) async fn follow_roster(&mut self) -> Result<()> {
        // The next epoch is entered when the log takes that down.
        if !self.roster.has_changed().unwrap_or(false) || self.seat.log.is_paused() {
            return Ok(());
        }
        let roster = Arc::clone(&self.roster.borrow_and_update());
        self.let_in &= roster.member(&member_id(&self.seat.terms.me)).is_none();
        if Epoch(roster.epoch) != self.seat.terms.epoch {
            self.enter(&roster).await?;
        }
        self.seat.network.set_members(self.addresses.members(&roster), &self.addresses.guests(&roster));
        Ok(())
    }

    async fn enter(&mut self, roster: &Roster) -> Result<()> {
        let now = Instant::now();
        self.seat.mute();
        self.end_life();
        self.reads.only(None);
        let Ok(log) = self.seat.log.enter(Epoch(roster.epoch), roster.sealed).await else {
            if self.seat.log.is_paused() {
                self.roster.mark_changed();
                return Ok(());
            }
            let failure = self.seat.log.failure();
            return Err(failure.map_or(Error::ShutDown, |failure| copy(&failure)));
        };
        let voters = voters_of(roster);
        let me = self.seat.terms.me;
        self.seat.replica.enter(log.clone());
        self.seat = Arc::new(self.seat.succeeded(voters.clone(), named_in(roster), log));
        self.votes = roster.votes(&member_id(&me), self.own);
        self.leadership = Leadership::new(self.timing, me, voters, now, crate::entropy::fraction);
        if let Some(first) = roster.first.as_ref().and_then(peer_of) {
            self.leadership.expect(now, first);
        }
        self.acquaintances = Acquaintances::default();
        self.started.clear();
        self.fetch = fetch::Fetch::default();
        tracing::info!(epoch = roster.epoch, round = roster.sealed, votes = self.votes, "a new epoch begins");
        self.revive().await?;
        self.submitter.send_all_again();
        self.greet_again();
        Ok(())
    }

    /// Everybody who holds, or held, a copy: who may be greeted, and asked for rows.
    pub(super) fn nodes(&self) -> Vec<PeerId> {
        let mut nodes = self.holders();
        nodes.extend(self.seat.replica.roster().departed().filter_map(peer_of));
        nodes.extend(self.addresses.bootstrap().filter(|peer| *peer != self.seat.terms.me));
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Who is to hold a copy, this node aside.
    pub(super) fn holders(&self) -> Vec<PeerId> {
        let roster = self.seat.replica.roster();
        let members = roster.members().filter(|(_, member)| member.role.is_node()).map(|(member, _)| member);
        let voters = roster.voters.iter().map(|voter| &voter.id);
        let mut holders: Vec<PeerId> = members.chain(voters).filter_map(peer_of).collect();
        holders.sort_unstable();
        holders.dedup();
        holders.retain(|peer| *peer != self.seat.terms.me);
        holders
    }

    /// Who hears this leader's beats: who is to hold a copy, and who left and has not heard of it.
    pub(super) fn audience(&self) -> Vec<PeerId> {
        let roster = self.seat.replica.roster();
        let gone = roster.departed().filter_map(peer_of).filter(|peer| self.seat.network.is_connected(*peer));
        let mut audience = self.holders();
        audience.extend(gone);
        audience
    }

    /// Something came from this peer that was said in this epoch: it has entered it.
    pub(super) fn on_started(&mut self, peer: PeerId) {
        if self.seat.terms.voters.position(&peer).is_some() {
            self.started.insert(peer);
        }
    }

    /// Whether a majority of the voters has entered this epoch: the ones before it are history.
    pub(super) fn is_settled(&self) -> bool {
        let voters = &self.seat.terms.voters;
        let mine = usize::from(self.votes && voters.position(&self.seat.terms.me).is_some());
        self.started.len() + mine >= voters.majority()
    }

    /// Whether this node left the cluster, and nobody needs it any more.
    pub(super) fn is_released(&self) -> bool {
        let me = member_id(&self.seat.terms.me);
        let roster = self.seat.replica.roster();
        // One that comes back may not have got to its new admission yet.
        let knows_all = !self.let_in && self.seat.replica.applied() >= self.seat.sought();
        roster.has_left(&me) && !roster.is_voter(&me) && self.is_settled() && knows_all
    }
}
