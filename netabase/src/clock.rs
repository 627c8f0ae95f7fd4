//! What time it is: for people who read logs, and for the expiry of invites and records. Clocks differ between machines and are set
//! back: nothing may depend on their order (`tests/tests/architecture.rs` lists who may ask, and why).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far tests have set the clock of this process wrong.
static SKEW_S: AtomicI64 = AtomicI64::new(0);

#[cfg(test)]
thread_local! {
    /// The same for one thread: what runs on others has the right time.
    static SKEW_HERE_S: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

/// What this machine's clock says.
pub(crate) fn now() -> SystemTime {
    let skew_s = SKEW_S.load(Ordering::Relaxed);
    #[cfg(test)]
    let skew_s = skew_s + SKEW_HERE_S.get();
    skewed(SystemTime::now(), skew_s)
}

/// The same in milliseconds since 1970; 0 before that.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn skewed(time: SystemTime, seconds: i64) -> SystemTime {
    let skew = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 { time.checked_sub(skew) } else { time.checked_add(skew) };
    moved.unwrap_or(time)
}

/// Sets the clock wrong by so many seconds, as all nodes of this process see it. Invites and records expire by it: what is
/// agreed on depends on it only as far as a majority of the voters' clocks say the same.
#[cfg(any(test, feature = "testing"))]
pub fn skew_clock(seconds: i64) {
    SKEW_S.store(seconds, Ordering::Relaxed);
}

/// Sets it wrong for this thread alone: for a handle that is used here, and not for the node that it is of.
#[cfg(test)]
pub(crate) fn skew_clock_here(seconds: i64) {
    SKEW_HERE_S.set(seconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_clock_is_before_or_after_the_right_one() {
        let (day, time) = (Duration::from_secs(86_400), SystemTime::now());
        assert_eq!(skewed(time, 0), time);
        assert_eq!(skewed(time, 86_400), time + day);
        assert_eq!(skewed(time, -86_400), time - day);
        assert_eq!(skewed(time, i64::MAX), time, "one that no clock shows is not shown");
    }
}
