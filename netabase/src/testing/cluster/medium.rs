//! What carries the bytes between the nodes of a cluster: memory, or sockets.

use std::ops::Range;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use crate::network::{Links, Separation, Sockets};
use crate::node::{Door, Wire};
use crate::testing::fabric::Fabric;

/// Each fault is asked of whichever it is.
#[derive(Debug)]
pub(in crate::testing) enum Medium {
    Memory(Fabric),
    Sockets(Links),
}

impl Medium {
    /// What a peer is to speak over from now on, also after a crash.
    pub(super) fn wire(&self, peer: PeerId, listens: bool) -> Wire {
        match self {
            Medium::Memory(fabric) => {
                let (network, events) = fabric.join(peer);
                Wire::Joined(network, events)
            }
            Medium::Sockets(links) => Wire::Sockets {
                listen: if listens { Links::listen() } else { Vec::new() },
                sockets: Sockets::Faulty(links.clone()),
            },
        }
    }

    /// The way of whoever holds an invite to the members; `knocker` is who its key is.
    pub(in crate::testing) fn door(&self, knocker: PeerId) -> Door {
        match self {
            Medium::Memory(fabric) => {
                let (network, events) = fabric.join(knocker);
                Door::Inside(network, events)
            }
            Medium::Sockets(links) => Door::Street(Sockets::Faulty(links.clone())),
        }
    }

    /// Where others find a peer: in memory, everybody is connected to everybody.
    pub(super) fn addresses(&self, peer: PeerId) -> Vec<Multiaddr> {
        match self {
            Medium::Memory(_) => Vec::new(),
            Medium::Sockets(_) => vec![Links::address_of(peer)],
        }
    }

    pub(super) fn cut(&self, peer: PeerId) {
        match self {
            Medium::Memory(fabric) => fabric.cut(peer),
            Medium::Sockets(links) => links.cut(peer),
        }
    }

    pub(super) fn partition(&self, groups: &[&[PeerId]]) {
        match self {
            Medium::Memory(fabric) => fabric.partition(groups),
            Medium::Sockets(links) => links.partition(groups),
        }
    }

    pub(super) fn block(&self, from: PeerId, to: PeerId) {
        match self {
            Medium::Memory(fabric) => fabric.block(from, to),
            Medium::Sockets(links) => links.block(from, to),
        }
    }

    pub(super) fn set_separation(&self, separation: Separation) {
        match self {
            Medium::Memory(fabric) => fabric.set_separation(separation),
            Medium::Sockets(links) => links.set_separation(separation),
        }
    }

    pub(super) fn heal(&self) {
        match self {
            Medium::Memory(fabric) => fabric.heal(),
            Medium::Sockets(links) => links.heal(),
        }
    }

    pub(super) fn set_delay(&self, delay: Range<Duration>) {
        match self {
            Medium::Memory(fabric) => fabric.set_delay(delay),
            Medium::Sockets(links) => links.set_delay(delay),
        }
    }

    /// The messages, where there are any to lose, to double or to let overtake: a stream of bytes has none.
    pub(super) fn messages(&self) -> Option<&Fabric> {
        match self {
            Medium::Memory(fabric) => Some(fabric),
            Medium::Sockets(_) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn fabric(&self) -> &Fabric {
        self.messages().expect("the test runs in memory")
    }
}
