//! What time it is: for people who read logs, and for the expiry of invites. Clocks differ between machines and are set
//! back: nothing may depend on their order (`tests/tests/architecture.rs` lists who may ask, and why).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// How far tests have set the clock of this process wrong.
static SKEW_S: AtomicI64 = AtomicI64::new(0);

/// What this machine's clock says.
pub(crate) fn now() -> SystemTime {
    skewed(SystemTime::now(), SKEW_S.load(Ordering::Relaxed))
}

fn skewed(time: SystemTime, seconds: i64) -> SystemTime {
    let skew = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 { time.checked_sub(skew) } else { time.checked_add(skew) };
    moved.unwrap_or(time)
}

/// Sets the clock wrong by so many seconds, as all nodes of this process see it. Nothing that is agreed on depends on a clock:
/// only invites expire by it, where they are honoured.
#[cfg(any(test, feature = "testing"))]
pub fn skew_clock(seconds: i64) {
    SKEW_S.store(seconds, Ordering::Relaxed);
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
