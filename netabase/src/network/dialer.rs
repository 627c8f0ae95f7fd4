//! When to dial whom: absent peers for ever, with pauses that double; nobody who is connected.
//!
//! Decides only; the driver dials. Time and jitter are arguments.

use std::{collections::HashMap, time::Duration};

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Dialer {
    pause_min: Duration,
    pause_max: Duration,
    targets: HashMap<PeerId, Target>,
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    state: State,
    /// The pause before the next dial.
    pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent { due: Instant },
    Dialing,
    Connected { since: Instant },
}

impl Dialer {
    /// All are due at once. Peers without an address are never dialled, only accepted.
    pub(super) fn new(
        peers: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>,
        pause_min: Duration,
        pause_max: Duration,
        now: Instant,
    ) -> Self {
        let mut dialer = Dialer { pause_min, pause_max, targets: HashMap::new() };
        dialer.set_targets(peers, now);
        dialer
    }

    /// From now on these are dialled, and no others. What is known of those that stay stays; a new one is due at once.
    pub(super) fn set_targets(&mut self, peers: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>, now: Instant) {
        let mut known = std::mem::take(&mut self.targets);
        let target = |(peer, addresses): (PeerId, Vec<Multiaddr>)| {
            let fresh = Target { addresses: Vec::new(), state: State::Absent { due: now }, pause: self.pause_min };
            let target = known.remove(&peer).unwrap_or(fresh);
            (peer, Target { addresses, ..target })
        };
        self.targets = peers.into_iter().filter(|(_, addresses)| !addresses.is_empty()).map(target).collect();
    }

    /// When `take_due` will next have something.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.targets
            .values()
            .filter_map(|target| match target.state {
                State::Absent { due } => Some(due),
                State::Dialing | State::Connected { .. } => None,
            })
            .min()
    }

    /// A peer to dial now; the driver reports what came of it.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(PeerId, Vec<Multiaddr>)> {
        let (peer, target) =
            self.targets.iter_mut().find(|(_, target)| matches!(target.state, State::Absent { due } if due <= now))?;
        target.state = State::Dialing;
        Some((*peer, target.addresses.clone()))
    }

    pub(super) fn on_connected(&mut self, peer: PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(&peer)
            && !matches!(target.state, State::Connected { .. })
        {
            target.state = State::Connected { since: now };
        }
    }

    /// The last connection is gone. One that did not last counts as a failed dial: a peer that accepts
    /// and hangs up is not dialled in a tight loop.
    pub(super) fn on_disconnected(&mut self, peer: PeerId, now: Instant, jitter: f64) {
        if let Some(target) = self.targets.get_mut(&peer)
            && let State::Connected { since } = target.state
        {
            if now.duration_since(since) >= self.pause_max {
                target.pause = self.pause_min;
            }
            target.postpone(now, jitter, self.pause_max);
        }
    }

    pub(super) fn on_dial_failed(&mut self, peer: PeerId, now: Instant, jitter: f64) {
        if let Some(target) = self.targets.get_mut(&peer)
            && target.state == State::Dialing
        {
            target.postpone(now, jitter, self.pause_max);
        }
    }
}

impl Target {
    /// The pause, plus up to half of it: two nodes that dial each other do not stay in step.
    fn postpone(&mut self, now: Instant, jitter: f64, pause_max: Duration) {
        self.state = State::Absent { due: now + self.pause.mul_f64(1.0 + jitter / 2.0) };
        self.pause = (2 * self.pause).min(pause_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(1);

    fn dialer(now: Instant) -> (Dialer, PeerId) {
        let (peer, silent) = (PeerId::random(), PeerId::random());
        let addresses = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()];
        (Dialer::new([(peer, addresses), (silent, Vec::new())], MIN, MAX, now), peer)
    }

    #[tokio::test]
    async fn pauses_double_up_to_the_greatest() {
        let mut now = Instant::now();
        let (mut dialer, peer) = dialer(now);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!(dialer.take_due(now).map(|(peer, _)| peer), Some(peer));
            assert!(dialer.take_due(now).is_none(), "not dialled twice at a time");
            dialer.on_dial_failed(peer, now, 0.0);
            let due = dialer.next_due().unwrap();
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
        dialer.take_due(now);
        dialer.on_dial_failed(peer, now, 1.0);
        assert_eq!(dialer.next_due(), Some(now + MAX.mul_f64(1.5)));
    }

    #[tokio::test]
    async fn targets_come_and_go_and_those_that_stay_keep_their_state() {
        let now = Instant::now();
        let (mut dialer, peer) = dialer(now);
        dialer.take_due(now);
        dialer.on_connected(peer, now);
        let (other, addresses) = (PeerId::random(), vec!["/ip4/127.0.0.1/tcp/2".parse().unwrap()]);
        dialer.set_targets([(peer, addresses.clone()), (other, addresses.clone())], now);
        assert_eq!(dialer.take_due(now).map(|(peer, _)| peer), Some(other), "the first one is connected");
        assert!(dialer.take_due(now).is_none());
        dialer.set_targets([(other, addresses)], now);
        dialer.on_disconnected(peer, now, 0.0);
        assert!(dialer.next_due().is_none(), "nobody asks for it any more");
    }

    #[tokio::test]
    async fn nobody_connected_is_dialled_and_lasting_connections_start_over() {
        let now = Instant::now();
        let (mut dialer, peer) = dialer(now);
        dialer.take_due(now);
        dialer.on_connected(peer, now);
        dialer.on_dial_failed(peer, now, 0.0);
        assert!(dialer.next_due().is_none(), "the other side's dial came through first");
        dialer.on_disconnected(peer, now, 0.0);
        assert_eq!(dialer.next_due(), Some(now + MIN));
        let later = now + MIN;
        dialer.take_due(later);
        dialer.on_connected(peer, later);
        dialer.on_disconnected(peer, later, 0.0);
        assert_eq!(dialer.next_due(), Some(later + 2 * MIN), "it did not last");
        dialer.on_connected(peer, later);
        dialer.on_disconnected(peer, later + MAX, 0.0);
        assert_eq!(dialer.next_due(), Some(later + MAX + MIN), "it lasted");
    }
}
