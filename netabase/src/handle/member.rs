//! Who takes part: letting in, taking back, sending away.

use libp2p::PeerId;

use super::Netabase;
use crate::error::{Error, Result};
use crate::node::{Invite, Role};
use crate::schema::Schema;

impl<S: Schema> Netabase<S> {
    /// Lets one more in, as a voter, a learner, a client or a reader: whoever presents the invite first, within an hour. Any
    /// member honours it, also when this one is gone.
    ///
    /// A voter first gets a full copy; it votes once it has nearly everything. One at a time or several at once, the voters
    /// become those that were invited: a cluster of one becomes one of three with two invites.
    ///
    /// # Errors
    /// [`Error::Configuration`] when nobody could find the way: no member listens anywhere. Otherwise as a write.
    pub async fn invite(&self, role: Role) -> Result<Invite> {
        if self.origin.node("invite")?.whereabouts()?.iter().all(|(_, addresses)| addresses.is_empty()) {
            return Err(Error::Configuration {
                option: "listen",
                reason: "no member listens anywhere, so nobody could find the cluster: start this node with \
                         `.listen(\"/ip4/127.0.0.1/tcp/4001\")` or another address"
                    .into(),
            });
        }
        self.origin.node("invite")?.invite(role).await
    }

    /// Takes back an invite: from now on nobody can use it for the first time. Who has used it stays.
    ///
    /// # Errors
    /// As a write.
    pub async fn revoke(&self, invite: &Invite) -> Result<()> {
        self.origin.node("revoke")?.revoke(invite.hash()?).await
    }

    /// Sends a member away. A voter goes with the next epoch: this returns once a majority of that epoch's voters has begun
    /// it, so that the machine may be switched off. It may be this node itself, which is then [`Error::Removed`].
    ///
    /// # Errors
    /// [`Error::Configuration`] when it is no member, or when the cluster could not go on without it: the reason says what
    /// to do. [`Error::Timeout`] when it is not done in time; it is done as soon as it can be. Otherwise as a write.
    pub async fn remove_member(&self, member: PeerId) -> Result<()> {
        let node = self.origin.node("remove_member")?;
        match node.remove_member(member).await {
            // It has heard of its own end before it could say so.
            Err(Error::Removed) if member == node.peer_id => Ok(()),
            result => result,
        }
    }
}
