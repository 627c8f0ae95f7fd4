//! What a node's handle asks of the membership.
//!
//! Must hold: who asks hears the end of it: an invite is known to this member when it is given out; a removed voter is not
//! needed any more when its removal returns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

use super::invite::Invite;
use super::role::Role;
use super::thread::Node;
use crate::command::{Action, InviteHash, Reform};
use crate::consensus::{Control, member_id};
use crate::error::{Error, Result};

/// How often a leader is looked for.
const WEIGH_EVERY: Duration = Duration::from_millis(50);

impl Node {
    pub(crate) async fn invite(&self, role: Role) -> Result<Invite> {
        let members = self.whereabouts()?;
        let invite = Invite::issue_now(&self.identity, self.cluster, role, members)?;
        let expires_at_ms = invite.expires_at_ms();
        self.reform(Reform::Invite { hash: invite.hash()?, role: role.into(), expires_at_ms }).await?;
        Ok(invite)
    }

    pub(crate) async fn revoke(&self, hash: InviteHash) -> Result<()> {
        self.reform(Reform::Revoke { hash }).await
    }

    pub(crate) async fn remove_member(&self, member: PeerId) -> Result<()> {
        self.weigh(member).await?;
        let id = member_id(&member);
        self.reform(Reform::Remove { member: id.clone() }).await?;
        let replica = self.replica()?;
        let mut standing = self.follow();
        // A voter still votes, until a seal is applied; then those who follow must have begun.
        let done = standing.wait_for(|standing| {
            let roster = replica.roster();
            roster.has_left(&id) && roster.epoch == standing.epoch.0 && standing.settled
        });
        let outcome = match tokio::time::timeout(self.request_timeout, done).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(()),
            Err(_) => return Err(Error::Timeout),
        };
        outcome.map_err(|()| self.failure().unwrap_or(Error::ShutDown))
    }

    /// Asks the leader whether the cluster could go on, as soon as there is one.
    async fn weigh(&self, leaving: PeerId) -> Result<()> {
        let deadline = Instant::now() + self.request_timeout;
        let mut again = tokio::time::interval(WEIGH_EVERY);
        loop {
            again.tick().await;
            let (answer, answered) = oneshot::channel();
            let asked = self.control.send(Control::Weigh { leaving, answer }).await;
            let gone = || self.failure().unwrap_or(Error::ShutDown);
            asked.map_err(|_| gone())?;
            match answered.await.map_err(|_| gone())? {
                Err(Error::NoQuorum) if Instant::now() < deadline => {}
                verdict => return verdict,
            }
        }
    }

    /// Lets in a peer that has no invite to present.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn admit(&self, peer: PeerId, role: Role) -> Result<()> {
        let hash = crate::entropy::bytes();
        self.reform(Reform::Invite { hash, role: role.into(), expires_at_ms: u64::MAX }).await?;
        self.reform(Reform::Admit { hash, member: member_id(&peer) }).await
    }

    async fn reform(&self, reform: Reform) -> Result<()> {
        Arc::clone(&self.submitter).submit(Action::from(reform)).await.map(drop)
    }

    /// The nodes and where they are, this one with the addresses that it listens on now.
    pub(crate) fn whereabouts(&self) -> Result<Vec<(PeerId, Vec<Multiaddr>)>> {
        let mut nodes = self.addresses.nodes_from(&self.network, &self.replica()?.roster());
        // Whoever reads the invite tries them in this order.
        nodes.sort_by_key(|(peer, addresses)| (*peer != self.peer_id, addresses.is_empty()));
        Ok(nodes)
    }
}
