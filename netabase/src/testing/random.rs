//! Numbers that follow from a seed, so that every fault a test draws can be drawn again.

use crate::entropy;

/// A generator of random numbers that the same seed repeats; tests print its seed. SplitMix64 (Steele, Lea, Flood: "Fast
/// splittable pseudorandom number generators", 2014).
///
/// ```
/// use netabase::testing::Random;
///
/// let (mut one, mut same) = (Random::new(7), Random::new(7));
/// assert_eq!(one.next_number(), same.next_number());
/// assert!(one.below(10) < 10);
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The seed in the environment variable `NETABASE_SEED`, or a new one; printed, so that a run can be repeated.
    #[must_use]
    pub fn from_environment() -> (u64, Self) {
        let seed = std::env::var("NETABASE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(u32::from_be_bytes(entropy::bytes())));
        println!("NETABASE_SEED={seed}");
        (seed, Random(seed))
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0. Bounds are small in tests: the bias of the remainder does not matter.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_number() % bound
    }

    /// One of `0..count`, which is not empty.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// Whether something happens that does in so many of a thousand cases.
    pub fn happens(&mut self, per_thousand: u64) -> bool {
        self.below(1000) < per_thousand
    }
}
