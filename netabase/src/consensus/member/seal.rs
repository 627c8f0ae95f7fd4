//! When the leader ends an epoch: who is to vote differs from who does, and those who are to vote are there.
//!
//! Must hold: a seal is proposed only when a majority of the voters that it names has nearly what the leader has, and is
//! heard; a node that is to vote is named only once it has, too; from then on no command is taken in this epoch.

use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::Member;
use super::epoch::peer_of;
use crate::command::{Batch, MemberId, Seal};
use crate::consensus::id::{Ballot, Round};
use crate::consensus::leadership::Role;
use crate::machine::Voter;

/// A node that lacks no more rounds than this has nearly what the leader has.
const NEAR: Round = 256;

/// What a node last said to this leader's beats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) applied: Round,
    pub(super) durable: Round,
    pub(super) at: Instant,
    /// What its clock said then.
    pub(super) clock_ms: u64,
}

impl Member {
    /// Proposes a seal, if it is time for one.
    pub(super) fn seal_if_due(&mut self, now: Instant) {
        let Role::Leading { .. } = self.leadership.role() else { return };
        if self.electing || self.proposer.is_sealing() || self.seat.may_be_sealed() {
            return;
        }
        let roster = self.seat.replica.roster();
        let Some(wanted) = roster.next_voters() else { return };
        let near = |member: &MemberId| peer_of(member).is_some_and(|peer| self.is_near(peer, now));
        // Who is to gain a vote must be there; who has one may be away.
        let gains = wanted.iter().any(|voter| roster.gains_vote(voter) && near(&voter.id));
        let stays = |voter: &Voter| roster.is_voter(&voter.id) || near(&voter.id);
        let voters: Vec<MemberId> = wanted.into_iter().filter(stays).map(|voter| voter.id).collect();
        let leaves = roster.voters.iter().any(|voter| !voters.contains(&voter.id));
        let changes = gains || leaves;
        if !changes || !is_majority(&voters, near) {
            return;
        }
        let Some(first) = self.first_of(&voters) else { return };
        tracing::info!(epoch = roster.epoch, ?voters, ?first, "this leader ends the epoch");
        self.proposer.seal(Batch::seal(Seal { epoch: roster.epoch, voters, first }));
    }

    /// Why the cluster could not go on without this voter, if so.
    pub(super) fn objection_to_removing(&self, leaving: PeerId, now: Instant) -> Option<String> {
        let leaving = MemberId::new(leaving.to_bytes());
        let roster = self.seat.replica.roster();
        if !roster.is_voter(&leaving) {
            return None;
        }
        let rest: Vec<MemberId> =
            roster.voters.iter().map(|voter| voter.id.clone()).filter(|voter| *voter != leaving).collect();
        let near = |member: &MemberId| peer_of(member).is_some_and(|peer| self.is_near(peer, now));
        if is_majority(&rest, near) {
            return None;
        }
        let missing: Vec<String> =
            rest.iter().filter(|voter| !near(voter)).filter_map(peer_of).map(|peer| peer.to_string()).collect();
        Some(format!(
            "without it, no majority of the remaining voters would be there: start {} first, or invite another voter",
            missing.join(" and ")
        ))
    }

    /// Whether a node is heard and has nearly what this leader has.
    fn is_near(&self, peer: PeerId, now: Instant) -> bool {
        if peer == self.seat.terms.me {
            return true;
        }
        let applied = self.seat.replica.applied();
        self.seat.network.is_connected(peer)
            && self.progress.get(&peer).is_some_and(|progress| {
                progress.applied + NEAR >= applied && now.saturating_duration_since(progress.at) < self.heard_within()
            })
    }

    /// This leader itself, or who is farthest of those that stay.
    fn first_of(&self, voters: &[MemberId]) -> Option<MemberId> {
        let me = MemberId::new(self.seat.terms.me.to_bytes());
        if voters.contains(&me) {
            return Some(me);
        }
        let applied = |voter: &&MemberId| {
            peer_of(voter).and_then(|peer| self.progress.get(&peer)).map(|progress| (progress.at, progress.applied))
        };
        voters.iter().max_by_key(applied).cloned()
    }

    fn heard_within(&self) -> Duration {
        2 * self.timing.silence
    }

    /// A voter or a learner answered a beat.
    pub(super) fn on_beaten(&mut self, peer: PeerId, promised: Ballot, said: Progress) {
        self.serving.on_applied(peer, said.applied);
        self.progress.insert(peer, said);
        self.on_started(peer);
        let votes = self.seat.terms.voters.position(&peer).is_some();
        // A promise that cannot be is no answer, and no reason to give way.
        if votes && self.seat.hear_of(promised).is_ok() && self.leadership.on_beat_answer(said.at, peer, promised) {
            // A voter promised somebody else: only a campaign under a greater ballot brings it back.
            self.step_down(said.at);
        }
    }
}

fn is_majority(voters: &[MemberId], near: impl Fn(&MemberId) -> bool) -> bool {
    voters.iter().filter(|voter| near(voter)).count() > voters.len() / 2
}
