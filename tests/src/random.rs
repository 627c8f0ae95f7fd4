//! Random numbers that the same seed repeats (SplitMix64, Steele, Lea and Flood 2014).

/// A generator; tests print its seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The seed in the environment variable `NETABASE_SEED`, or one from the clock; printed, so that a run can be repeated.
    #[must_use]
    pub fn from_environment() -> (u64, Self) {
        let clock = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            u64::from(since.subsec_nanos()) ^ since.as_secs()
        };
        let seed = std::env::var("NETABASE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock);
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

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_number() % bound
    }
}
