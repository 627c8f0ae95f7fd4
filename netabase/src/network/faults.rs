//! What a test asks of the network between peers, whichever carries their bytes: memory or sockets.
//!
//! Decides only; those that carry ask of each message, or of each read and write, what is to become of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use libp2p::PeerId;

/// What a partition looks like to those it separates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Separation {
    /// Connections stay and nothing comes through: requests end in `Timeout`.
    #[default]
    Silent,
    /// Connections close: `Disconnected`, what is pending ends in `ConnectionLost`, what follows in
    /// `NotConnected`.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Faults {
    /// Group of each peer during a partition; peers of no group form one of their own.
    groups: BTreeMap<PeerId, usize>,
    separation: Separation,
    /// One-way links that carry nothing.
    blocked: BTreeSet<(PeerId, PeerId)>,
    delay: Range<Duration>,
    random: u64,
}

impl Faults {
    /// None yet. What is drawn follows from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Faults {
            groups: BTreeMap::new(),
            separation: Separation::default(),
            blocked: BTreeSet::new(),
            delay: Duration::ZERO..Duration::ZERO,
            random: seed,
        }
    }

    /// Separates the groups from each other; peers that are in none are together in one more group.
    /// Replaces an earlier partition.
    pub(crate) fn partition(&mut self, groups: &[&[PeerId]]) {
        self.groups =
            groups.iter().zip(1..).flat_map(|(peers, group)| peers.iter().map(move |peer| (*peer, group))).collect();
    }

    /// How partitions look from now on, a present one too.
    pub(crate) fn set_separation(&mut self, separation: Separation) {
        self.separation = separation;
    }

    /// Nothing that `from` sends comes through to `to`, until `heal`.
    pub(crate) fn block(&mut self, from: PeerId, to: PeerId) {
        self.blocked.insert((from, to));
    }

    /// Ends the partition and unblocks all links.
    pub(crate) fn heal(&mut self) {
        self.groups.clear();
        self.blocked.clear();
    }

    pub(crate) fn set_delay(&mut self, delay: Range<Duration>) {
        self.delay = delay;
    }

    /// Whether there is no border between the two.
    pub(crate) fn together(&self, a: PeerId, b: PeerId) -> bool {
        self.groups.get(&a) == self.groups.get(&b)
    }

    /// Whether connections between the two stay open, also if nothing comes through.
    pub(crate) fn keeps_open(&self, a: PeerId, b: PeerId) -> bool {
        self.separation == Separation::Silent || self.together(a, b)
    }

    /// Whether what the one sends comes through to the other.
    pub(crate) fn passes(&self, from: PeerId, to: PeerId) -> bool {
        self.together(from, to) && !self.blocked.contains(&(from, to))
    }

    /// Whether anything is delayed at all.
    pub(crate) fn delays(&self) -> bool {
        !self.delay.end.max(self.delay.start).is_zero()
    }

    pub(crate) fn draw_delay(&mut self) -> Duration {
        let span = self.delay.end.saturating_sub(self.delay.start).as_nanos() as u64;
        if span == 0 { self.delay.start } else { self.delay.start + Duration::from_nanos(self.draw() % span) }
    }

    /// Whether the seed says that it happens, which it does so many times of a thousand.
    pub(crate) fn happens(&mut self, per_thousand: u64) -> bool {
        per_thousand > 0 && self.draw() % 1000 < per_thousand
    }

    /// The next of the seed's numbers (splitmix64, Steele et al. 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
