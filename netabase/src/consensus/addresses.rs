//! Where members are reached: what the log says, what this node was told when it started, and who may knock at all.
//!
//! Must hold: whoever the roster does not name is a stranger, but for the bootstrap list of a node whose log does not reach
//! to its own admission yet.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId};

use super::member::peer_of;
use crate::command::{InviteHash, MemberId};
use crate::machine::Roster;
use crate::network::{Access, Channel, Guests, Network};

/// What this node was told of its peers when it started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    told: BTreeMap<PeerId, Vec<Multiaddr>>,
}

impl Addresses {
    pub(crate) fn new(told: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>) -> Self {
        Addresses { told: told.into_iter().collect() }
    }

    /// Those it was told of.
    pub(crate) fn bootstrap(&self) -> impl Iterator<Item = PeerId> {
        self.told.keys().copied()
    }

    /// Those who hold a copy, with where they are.
    pub(crate) fn nodes(&self, roster: &Roster) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let is_node = |peer: &PeerId| roster.member(&member_id(peer)).is_some_and(|member| member.role.is_node());
        let mut nodes = self.members(roster);
        nodes.retain(|(peer, _)| is_node(peer));
        nodes
    }

    /// The same, as this node tells them: of itself, where it listens now.
    pub(crate) fn nodes_from(&self, network: &Network, roster: &Roster) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut nodes = self.nodes(roster);
        if let Some((_, addresses)) = nodes.iter_mut().find(|(peer, _)| *peer == network.peer_id()) {
            *addresses = network.listen_addresses();
        }
        nodes
    }

    /// Everybody who is let in, with where to find those that are to be connected to.
    pub(crate) fn members(&self, roster: &Roster) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut peers = self.told.clone();
        for (member, membership) in roster.members() {
            let Some(peer) = peer_of(member) else { continue };
            let addresses = peers.entry(peer).or_default();
            if membership.role.is_node() {
                for address in membership.addresses.iter().filter_map(|address| address.parse().ok()) {
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
            }
        }
        let silent = roster.voters.iter().map(|voter| &voter.id).chain(roster.departed()).filter_map(peer_of);
        for peer in silent.chain(roster.invites().filter_map(knocker)) {
            peers.entry(peer).or_default();
        }
        for gone in roster.departed().filter_map(peer_of) {
            // It may come and be told; nobody looks for it.
            peers.insert(gone, Vec::new());
        }
        peers.into_iter().collect()
    }

    /// Those of [`Addresses::members`] that are no nodes: clients have the desk, who knocks says so where greetings are said,
    /// and who left hears that it has.
    pub(crate) fn guests(&self, roster: &Roster) -> Guests {
        let clients = roster.members().filter(|(_, membership)| !membership.role.is_node());
        let clients =
            clients.filter_map(|(member, _)| peer_of(member)).map(|peer| (peer, Access::Only(Channel::Client)));
        let knocking = roster.invites().filter_map(knocker).map(|peer| (peer, Access::Only(Channel::Heartbeat)));
        let gone = roster.departed().filter_map(peer_of).map(|peer| (peer, Access::Former));
        let mut guests: Guests = clients.chain(knocking).chain(gone).collect();
        for voter in roster.voters.iter().filter_map(|voter| peer_of(&voter.id)) {
            guests.remove(&voter);
        }
        guests
    }
}

/// Who knocks with this invite: the holder of its secret, whose public key is all that the log knows.
pub(crate) fn knocker(invite: &InviteHash) -> Option<PeerId> {
    let key = libp2p::identity::ed25519::PublicKey::try_from_bytes(invite).ok()?;
    Some(PeerId::from_public_key(&key.into()))
}

/// A peer as the log names it.
pub(crate) fn member_id(peer: &PeerId) -> MemberId {
    MemberId::new(peer.to_bytes())
}
