//! What one direction between two hosts does to its packets: a rule without a clock or a socket of its own.

use std::time::{Duration, Instant};

use crate::Random;

/// How packets fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// How long each is under way, at least.
    pub delay: Duration,
    /// How much longer it may be.
    pub jitter: Duration,
    /// How many of a thousand are lost.
    pub loss: u64,
}

impl Weather {
    /// No delay and no loss.
    pub const FAIR: Weather = Weather { delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0 };
    /// Across an ocean, by a bad line: about 100 ms for the way there and back, and 5 % loss each way.
    pub const FOUL: Weather = Weather { delay: Duration::from_millis(47), jitter: Duration::from_millis(6), loss: 50 };
}

/// One direction. The n-th packet of a seed fares the same in the same weather.
#[derive(Debug)]
pub(super) struct Link {
    random: Random,
    /// When the last one arrives: none overtakes another, as in a router's queue.
    last: Option<Instant>,
}

impl Link {
    pub(super) fn new(seed: u64, from: usize, to: usize) -> Self {
        let mut random = Random::new(seed ^ ((from as u64) << 32) ^ to as u64);
        Link { random: Random::new(random.next_number()), last: None }
    }

    /// When a packet that enters now arrives; `None`: it is lost.
    pub(super) fn arrival(&mut self, now: Instant, weather: Weather) -> Option<Instant> {
        let (lost, late) = (self.random.below(1000) < weather.loss, self.random.below(1000));
        let jitter = weather.jitter * u32::try_from(late).unwrap_or(0) / 1000;
        let arrival = (now + weather.delay + jitter).max(self.last.unwrap_or(now));
        if lost {
            return None;
        }
        self.last = Some(arrival);
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEATHER: Weather = Weather { delay: Duration::from_millis(20), jitter: Duration::from_millis(10), loss: 100 };

    fn fares(seed: u64, from: usize, to: usize) -> Vec<Option<Duration>> {
        let (mut link, start) = (Link::new(seed, from, to), Instant::now());
        let enter = |packet| start + Duration::from_millis(packet);
        (0..2000).map(|packet| Some(link.arrival(enter(packet), WEATHER)? - start)).collect()
    }

    #[test]
    fn a_seed_decides_what_is_lost_and_how_late_the_rest_is() {
        assert_eq!(fares(7, 0, 1), fares(7, 0, 1));
        for other in [fares(8, 0, 1), fares(7, 1, 0), fares(7, 0, 2)] {
            assert_ne!(fares(7, 0, 1), other);
        }
    }

    #[test]
    fn losses_and_delays_are_as_the_weather_says_and_none_overtakes() {
        let fares = fares(7, 0, 1);
        let lost = fares.iter().filter(|fare| fare.is_none()).count();
        assert!((150..=250).contains(&lost), "{lost} of 2000 at 10 %");
        let mut last = Duration::ZERO;
        for (packet, fare) in (0..).zip(&fares) {
            let Some(fare) = *fare else { continue };
            let under_way = fare - Duration::from_millis(packet);
            assert!((20..=30).contains(&under_way.as_millis()), "{under_way:?}");
            assert!(fare >= last);
            last = fare;
        }
    }

    #[test]
    fn fair_weather_loses_and_delays_nothing() {
        let (mut link, now) = (Link::new(1, 0, 1), Instant::now());
        assert!((0..2000).all(|_| link.arrival(now, Weather::FAIR) == Some(now)));
    }
}
