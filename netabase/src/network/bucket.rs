//! A rate with a burst, as a token bucket: so many at once, then so many a second. Time is an argument.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// Full.
    pub(super) fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        Bucket { burst: burst.into(), per_second: per_second.into(), tokens: burst.into(), filled: now }
    }

    /// Takes one, or says when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        match self.due(now) {
            Some(due) => Err(due),
            None => {
                self.tokens -= 1.0;
                Ok(())
            }
        }
    }

    /// Takes one, whether it is there or not: what is owed has to come in before the next is.
    pub(super) fn owe(&mut self, now: Instant) {
        self.fill(now);
        self.tokens -= 1.0;
    }

    /// Nothing while one is there, or when it will be.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        self.fill(now);
        let missing = 1.0 - self.tokens;
        (missing > 0.0).then(|| now + Duration::from_secs_f64(missing / self.per_second))
    }

    pub(super) fn is_empty(&mut self, now: Instant) -> bool {
        self.due(now).is_some()
    }

    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.burst
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, 10, start);
        assert!((0..3).all(|_| bucket.take(start).is_ok()));
        let due = bucket.take(start).expect_err("it is empty");
        assert!(bucket.is_empty(start) && !bucket.is_empty(due) && !bucket.is_full(due));
        assert_eq!(bucket.take(due), Ok(()));
        let taken = (0..1_000).filter(|tick| bucket.take(due + Duration::from_millis(*tick)).is_ok()).count();
        assert!((9..=10).contains(&taken), "{taken}");
        (0..20).for_each(|_| bucket.owe(due + Duration::from_secs(10)));
        let owed = bucket.due(due + Duration::from_secs(10)).expect("more was taken than it holds");
        assert!(owed > due + Duration::from_millis(11_500));
        let later = start + Duration::from_secs(3_600);
        assert!(bucket.is_full(later));
        assert_eq!((0..10).filter(|_| bucket.take(later).is_ok()).count(), 3, "it holds no more than a burst");
    }
}
