//! What happens to the network between the nodes of a cluster, at a test's word.

use std::ops::Range;
use std::time::Duration;

use libp2p::PeerId;

use super::Cluster;
use crate::network::Separation;
use crate::schema::Schema;

impl<S: Schema> Cluster<S> {
    /// Separates the nodes into groups that do not hear each other; a node in no group hears nobody.
    pub fn partition<const N: usize>(&mut self, groups: [&[usize]; N]) {
        let groups: Vec<Vec<PeerId>> =
            groups.iter().map(|group| group.iter().map(|&place| self.peer_id(place)).collect()).collect();
        let named: Vec<PeerId> = groups.iter().flatten().copied().collect();
        let alone = (0..self.len()).map(|place| self.peer_id(place)).filter(|peer| !named.contains(peer));
        let groups: Vec<Vec<PeerId>> = groups.into_iter().chain(alone.map(|peer| vec![peer])).collect();
        let groups: Vec<&[PeerId]> = groups.iter().map(Vec::as_slice).collect();
        self.medium.partition(&groups);
    }

    /// Nothing that the one node sends reaches the other one from now on, while what the other one sends comes through. Over
    /// sockets it does for ten seconds or so: then the connection is given up, and none can be made anew until it is healed.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.medium.block(self.peer_id(from), self.peer_id(to));
    }

    /// Whether partitions close connections from now on, as a firewall that refuses, rather than letting everything fall
    /// silent, as a cable that is pulled.
    pub fn refuse_in_partitions(&mut self, refuse: bool) {
        self.medium.set_separation(if refuse { Separation::Closed } else { Separation::Silent });
    }

    /// Ends every partition and every cut.
    pub fn heal(&mut self) {
        self.medium.heal();
    }

    /// Everything that was asked of the network is over: partitions, cuts, loss, delay, doubles and overtaking.
    pub fn calm(&mut self) {
        self.heal();
        self.lose_messages(0);
        self.delay_messages(Duration::ZERO..Duration::ZERO);
        self.double_messages(0);
        self.reorder_messages(0);
    }

    /// Loses this many of a thousand messages; none over sockets.
    pub fn lose_messages(&self, per_thousand: u64) {
        if let Some(messages) = self.medium.messages() {
            messages.set_loss(per_thousand);
        }
    }

    /// Delays every message by a time in this range; over sockets, every piece that is read of a stream.
    pub fn delay_messages(&self, delay: Range<Duration>) {
        self.medium.set_delay(delay);
    }

    /// Delivers this many of a thousand messages twice; none over sockets.
    pub fn double_messages(&self, per_thousand: u64) {
        if let Some(messages) = self.medium.messages() {
            messages.set_doubles(per_thousand);
        }
    }

    /// Lets this many of a thousand messages overtake those before them; only with a delay is there anything to overtake. None
    /// over sockets.
    pub fn reorder_messages(&self, per_thousand: u64) {
        if let Some(messages) = self.medium.messages() {
            messages.set_overtaking(per_thousand);
        }
    }
}
