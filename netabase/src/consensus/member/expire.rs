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
use crate::machine::Due;

/// Pause after a step that was not taken, or that could not remove what was due first.
const PAUSE: Duration = Duration::from_secs(1);

/// What this leader does about what expires.
#[derive(Debug, Default)]
pub(super) struct Expiring {
    asking: bool,
    after: Option<Instant>,
    /// What was to be removed first, when it was asked for last.
    last: Option<Due>,
}

impl Member {
    pub(super) fn expire(&mut self) -> Result<()> {
        let Role::Leading { .. } = self.leadership.role() else { return Ok(()) };
        let now = Instant::now();
        if self.expiring.asking || self.expiring.after.is_some_and(|after| now < after) {
            return Ok(());
        }
        let first = self.seat.replica.machine().first_due()?;
        let Some((first, now_ms)) = first.zip(self.agreed_time_ms(now)) else { return Ok(()) };
        if first.expires_at_ms > now_ms {
            return Ok(());
        }
        if self.expiring.last.as_ref() == Some(&first) {
            tracing::warn!(?first, "a record that has expired cannot be removed");
            (self.expiring.last, self.expiring.after) = (None, Some(now + PAUSE));
            return Ok(());
        }
        (self.expiring.asking, self.expiring.last) = (true, Some(first));
        let (submitter, reports) = (Arc::clone(&self.submitter), self.reports.clone());
        tokio::task::spawn_local(async move {
            let expired = submitter.submit(Action::Expire { now_ms }).await;
            if let Err(error) = &expired {
                tracing::debug!(%error, "what has expired could not be removed");
            }
            let _ = reports.send(Report::Expired { taken: expired.is_ok() }).await;
        });
        Ok(())
    }

    pub(super) fn on_expired(&mut self, now: Instant, taken: bool) -> Result<()> {
        self.expiring.asking = false;
        if !taken {
            (self.expiring.last, self.expiring.after) = (None, Some(now + PAUSE));
        }
        self.expire()
    }

    /// What the clocks of a majority of the voters have reached, as far as they have said so.
    fn agreed_time_ms(&self, now: Instant) -> Option<u64> {
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

/// The latest time that a majority of so many clocks has reached.
fn reached_by_majority(mut clocks_ms: Vec<u64>, clocks: usize) -> Option<u64> {
    clocks_ms.sort_unstable_by(|one, other| other.cmp(one));
    clocks_ms.get(clocks / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::reached_by_majority;

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
