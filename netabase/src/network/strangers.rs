//! From which addresses too many strangers come: a handshake is what a stranger costs most, so there are no more for it.
//!
//! What must hold: bounded, however many addresses there are; an address is heard again once it was quiet for a while.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use tokio::time::Instant;

use super::{bucket::Bucket, limits::STRANGE_ADDRESSES_MAX};

#[derive(Debug)]
pub(super) struct Strangers {
    per_second: u32,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    of: HashMap<IpAddr, Bucket>,
    /// Of all for whom there is no room.
    others: Bucket,
}

impl Strangers {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let others = Bucket::new(per_second.saturating_mul(2), per_second, now);
        Strangers { per_second, known: Mutex::new(Known { of: HashMap::new(), others }) }
    }

    /// One came from there.
    pub(super) fn note(&self, from: &Multiaddr, now: Instant) {
        let Some(place) = place(from) else { return };
        let mut known = self.lock();
        if !known.of.contains_key(&place) && known.of.len() >= STRANGE_ADDRESSES_MAX {
            known.of.retain(|_, bucket| !bucket.is_full(now));
        }
        let is_room = known.of.contains_key(&place) || known.of.len() < STRANGE_ADDRESSES_MAX;
        let bucket = if is_room {
            known
                .of
                .entry(place)
                .or_insert_with(|| Bucket::new(self.per_second.saturating_mul(2), self.per_second, now))
        } else {
            &mut known.others
        };
        // Those that were shaking hands when it became empty are let go.
        let _ = bucket.take(now);
    }

    /// Whether whoever comes from there is not heard now.
    pub(super) fn bars(&self, from: &Multiaddr, now: Instant) -> bool {
        let Some(place) = place(from) else { return false };
        let mut known = self.lock();
        let full = known.of.len() >= STRANGE_ADDRESSES_MAX;
        match known.of.get_mut(&place) {
            Some(bucket) => bucket.is_empty(now),
            None => full && known.others.is_empty(now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address, or of IPv6 the /64 that one host has for itself.
fn place(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => Some(ip.into()),
            None => Some(IpAddr::from((u128::from(ip) >> 64 << 64).to_be_bytes())),
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ip: &str) -> Multiaddr {
        let kind = if ip.contains(':') { "ip6" } else { "ip4" };
        format!("/{kind}/{ip}/tcp/4001").parse().expect("an address")
    }

    #[test]
    fn an_address_of_many_strangers_is_not_heard_for_a_while_and_others_are() {
        let now = Instant::now();
        let strangers = Strangers::new(10, now);
        for _ in 0..20 {
            assert!(!strangers.bars(&at("10.0.0.1"), now));
            strangers.note(&at("10.0.0.1"), now);
        }
        assert!(strangers.bars(&at("10.0.0.1"), now) && !strangers.bars(&at("10.0.0.2"), now));
        assert!(!strangers.bars(&at("10.0.0.1"), now + Duration::from_millis(101)));
        // One host has more addresses than there are.
        (0..20).for_each(|n| strangers.note(&at(&format!("2001:db8::{n:x}")), now));
        assert!(strangers.bars(&at("2001:db8::ffff"), now) && !strangers.bars(&at("2001:db8:0:1::1"), now));
    }

    #[test]
    fn no_more_addresses_are_remembered_than_may_be() {
        let now = Instant::now();
        let strangers = Strangers::new(10, now);
        let all = (0..=255).flat_map(|a| (0..=255).map(move |b| at(&format!("10.1.{a}.{b}"))));
        all.clone().for_each(|address| strangers.note(&address, now));
        assert_eq!(strangers.lock().of.len(), STRANGE_ADDRESSES_MAX);
        assert!(strangers.bars(&at("10.2.0.0"), now), "the rest is one");
        let later = now + Duration::from_secs(60);
        strangers.note(&at("10.2.0.0"), later);
        assert_eq!(strangers.lock().of.len(), 1, "those that are quiet are forgotten");
    }
}
