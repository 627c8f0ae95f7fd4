//! When the leader brings a record type to a later version: every member says that it reads that one, or rows of an earlier
//! one are left.
//!
//! Must hold: it is an action like any other, which does the same whoever asks for it and however often; one at a time, so
//! that writes are held up by one step of the conversion at most. What could not be converted is looked at again after a
//! pause, since a write may have mended it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Member;
use super::report::Report;
use crate::command::Action;
use crate::consensus::leadership::Role;
use crate::machine::DueUpgrade;
use crate::schema::RecordId;

/// Pause after a step that was not taken.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause after a version has risen before rows are converted: what was written as the one before, by whoever had not heard of
/// it yet, is taken until the last row is converted.
const RISEN_PAUSE: Duration = Duration::from_secs(5);
/// Pause before rows that could not be converted are looked at again.
const STUCK_PAUSE: Duration = Duration::from_secs(30);

/// What this leader does about versions.
#[derive(Debug, Default)]
pub(super) struct Upgrading {
    asking: bool,
    after: Option<Instant>,
    /// Not before this time are rows converted, of a version that has risen; or, of those that could not be, looked at again,
    /// since a walk has ended with some.
    risen_after: BTreeMap<RecordId, Instant>,
    stuck_after: BTreeMap<RecordId, Instant>,
}

impl Member {
    pub(super) fn upgrade(&mut self) {
        let Role::Leading { .. } = self.leadership.role() else { return };
        let now = Instant::now();
        let agreed_ms = self.agreed_time_ms(now);
        let Upgrading { asking, after, risen_after, stuck_after } = &mut self.upgrading;
        if *asking || after.is_some_and(|after| now < after) {
            return;
        }
        let may = |record: RecordId, due: DueUpgrade| {
            let (pauses, pause) = match due {
                DueUpgrade::Stuck => (&mut *stuck_after, STUCK_PAUSE),
                DueUpgrade::Rise | DueUpgrade::Rows => (&mut *risen_after, RISEN_PAUSE),
            };
            *pauses.entry(record).or_insert(now + pause) <= now
        };
        let machine = self.seat.replica.machine();
        let Some((record, due)) = machine.due_upgrade(may) else { return };
        let Some(action) = action_of(record, due, machine.expires(record), agreed_ms) else { return };
        drop(machine);
        match due {
            DueUpgrade::Rise => drop(risen_after.remove(&record)),
            DueUpgrade::Rows => {}
            // Another pause begins where that walk ends.
            DueUpgrade::Stuck => drop(stuck_after.remove(&record)),
        }
        self.upgrading.asking = true;
        let (submitter, reports) = (Arc::clone(&self.submitter), self.reports.clone());
        tokio::task::spawn_local(async move {
            let upgraded = submitter.submit(action).await;
            if let Err(error) = &upgraded {
                tracing::debug!(%error, "a record type could not be brought to a later version");
            }
            let _ = reports.send(Report::Upgraded { taken: upgraded.is_ok() }).await;
        });
    }

    pub(super) fn on_upgraded(&mut self, now: Instant, taken: bool) {
        self.upgrading.asking = false;
        self.upgrading.after = (!taken).then(|| now + PAUSE);
        self.upgrade();
    }
}

/// What is to be agreed on. Nothing yet, as long as it has to say how late it is and no majority has: that comes with the
/// first answers to a leader's heartbeats.
fn action_of(record: RecordId, due: DueUpgrade, expires: bool, agreed_ms: Option<u64>) -> Option<Action> {
    match due {
        // What has expired would be there again in a version in which it has not.
        DueUpgrade::Rows | DueUpgrade::Stuck if expires => agreed_ms.map(|now_ms| Action::UpgradeAt { record, now_ms }),
        DueUpgrade::Rise | DueUpgrade::Rows | DueUpgrade::Stuck => Some(Action::Upgrade(record)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_what_expires_are_not_converted_without_a_time() {
        let record = RecordId(7);
        for due in [DueUpgrade::Rows, DueUpgrade::Stuck] {
            assert_eq!(action_of(record, due, true, Some(9)), Some(Action::UpgradeAt { record, now_ms: 9 }));
            assert_eq!(action_of(record, due, true, None), None, "a majority has not said how late it is");
            assert_eq!(action_of(record, due, false, None), Some(Action::Upgrade(record)));
        }
        assert_eq!(action_of(record, DueUpgrade::Rise, true, None), Some(Action::Upgrade(record)));
    }
}
