//! When the leader has records removed that have expired: the clocks of a majority of the voters say that they have.
//!
//! Must hold: one clock that is wrong, the leader's own too, removes nothing early and keeps nothing for ever; it is an
//! action like any other, some rows at a time, so that writes are held up by one step at most.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Member;
use super::report::Report;
use crate::clock;
use crate::command::Action;
use crate::consensus::leadership::Role;
use crate::error::Result;
use crate::machine::CLOCK_AHEAD_MS;

/// Pause after a step that was not taken, or that could not remove anything of what is due.
const PAUSE: Duration = Duration::from_secs(1);

/// What this leader does about what expires.
#[derive(Debug, Default)]
pub(super) struct Expiring {
    asking: bool,
    after: Option<Instant>,
    /// The last step removed nothing.
    stuck: bool,
    /// It was said that the log's clock is ahead.
    told_ahead: bool,
}

impl Member {
    pub(super) fn expire(&mut self) -> Result<()> {
        let Role::Leading { .. } = self.leadership.role() else { return Ok(()) };
        let now = Instant::now();
        if self.expiring.asking || self.expiring.after.is_some_and(|after| now < after) {
            return Ok(());
        }
        let Some(now_ms) = self.agreed_time_ms(now) else { return Ok(()) };
        self.tell_if_ahead(now_ms)?;
        if !self.seat.replica.machine().is_due(now_ms)? {
            return Ok(());
        }
        self.expiring.asking = true;
        let (submitter, reports) = (Arc::clone(&self.submitter), self.reports.clone());
        tokio::task::spawn_local(async move {
            let expired = submitter.submit(Action::Expire { now_ms }).await;
            if let Err(error) = &expired {
                tracing::debug!(%error, "what has expired could not be removed");
            }
            let taken = expired.is_ok();
            let removed = expired.is_ok_and(|applied| applied.existed);
            let _ = reports.send(Report::Expired { taken, removed }).await;
        });
        Ok(())
    }

    pub(super) fn on_expired(&mut self, now: Instant, taken: bool, removed: bool) -> Result<()> {
        let was_stuck = std::mem::replace(&mut self.expiring.stuck, taken && !removed);
        // Once may be since another leader removed it before.
        if self.expiring.stuck && was_stuck {
            tracing::warn!("records that have expired cannot be removed: they cannot be read back");
        }
        (self.expiring.asking, self.expiring.after) = (false, pause_after(removed).map(|pause| now + pause));
        self.expire()
    }

    /// Clocks of a majority were wrong once, or are now: what is written with an instant that the log's clock has passed is
    /// removed at once.
    fn tell_if_ahead(&mut self, now_ms: u64) -> Result<()> {
        let clock_ms = self.seat.replica.machine().clock_ms()?;
        if clock_ms > now_ms.saturating_add(CLOCK_AHEAD_MS) && !self.expiring.told_ahead {
            self.expiring.told_ahead = true;
            tracing::error!(
                clock_ms,
                now_ms,
                "the clock by which records expire is ahead of those of the voters: records that expire before it are not kept"
            );
        }
        Ok(())
    }

    /// What the clocks of a majority of the voters have reached, as far as they have said so.
    pub(super) fn agreed_time_ms(&self, now: Instant) -> Option<u64> {
        let voters = &self.seat.terms.voters;
        let clocks = voters.iter().filter_map(|peer| match self.progress.get(peer) {
            _ if *peer == self.seat.terms.me => Some(clock::now_ms()),
            Some(said) => {
                let since = u64::try_from(now.saturating_duration_since(said.at).as_millis()).unwrap_or(u64::MAX);
                Some(said.clock_ms.saturating_add(since))
            }
            None => None,
        });
        reached_by_majority(clocks.collect(), voters.len())
    }
}

/// How long the next step waits: not at all as long as there is something to remove, whatever stays behind.
fn pause_after(removed: bool) -> Option<Duration> {
    (!removed).then_some(PAUSE)
}

/// The latest time that a majority of so many clocks has reached.
fn reached_by_majority(mut clocks_ms: Vec<u64>, clocks: usize) -> Option<u64> {
    clocks_ms.sort_unstable_by(|one, other| other.cmp(one));
    clocks_ms.get(clocks / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::{PAUSE, pause_after, reached_by_majority};

    #[test]
    fn a_sweep_pauses_only_where_it_gets_nowhere() {
        assert_eq!((pause_after(true), pause_after(false)), (None, Some(PAUSE)));
    }

    #[test]
    fn a_minority_of_clocks_says_nothing() {
        assert_eq!(reached_by_majority(vec![7], 1), Some(7));
        assert_eq!(reached_by_majority(vec![7, u64::MAX], 2), Some(7));
        assert_eq!(reached_by_majority(vec![7, u64::MAX, 9], 3), Some(9), "one is years ahead");
        assert_eq!(reached_by_majority(vec![0, 8, 9], 3), Some(8), "one stands still");
        assert_eq!(reached_by_majority(vec![8, 9], 3), Some(8), "one is away");
        assert_eq!(reached_by_majority(vec![9], 3), None);
        assert_eq!(reached_by_majority(vec![5, 1, 4, 2, 3], 5), Some(3));
    }
}
