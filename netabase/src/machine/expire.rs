//! Removing what has expired: one clock for all nodes, which only the log moves.
//!
//! ```text
//! leader: the clocks of a majority say that something is due ─▶ Expire { now_ms } ─▶ apply: due rows go, the clock follows
//! ```
//! Must hold: no record is stored that had expired by the clock, so nothing else in `apply` has to ask; the clock never goes
//! back, never past a record that is still there, and never past the latest instant of which one was removed. So a time that
//! is years ahead, said once, leaves behind no clock that is years ahead, by which what is written from then on had expired.
//! A record that comes too late, and not so late as the clock says, is stored, shown to nobody, and goes with the next step.

use bytes::Bytes;

use super::rule::Rule;
use super::versions::Versions;
use crate::Error;
use crate::schema::RecordId;
use crate::storage::{Draft, Rows, Selecting, WriteSet, layout};

/// How far the clock may be ahead of those of machines before somebody is told.
pub(crate) const CLOCK_AHEAD_MS: u64 = 3_600_000;

/// Records that cannot be removed past which a step goes; more of one type than that hold up what is due behind them.
const STUCK_ROWS_MAX: usize = 4_096;

/// What one step removes: up to so many records, and none more once their values come to so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Step {
    /// As part of a round: it holds up the rounds behind it.
    pub(super) const OF_A_ROUND: Step = Step { rows: 256, bytes: 1 << 20 };
}

/// One step towards `now_ms`. Gives how many records it removed: none, if nothing is due, or nothing of it can be removed.
pub(crate) fn expire(
    (rule, versions): (&Rule, &Versions),
    draft: &mut Draft<'_>,
    now_ms: u64,
    round: u64,
    step: Step,
) -> Result<u64, Error> {
    let clock_ms = draft.clock_ms()?;
    let mut types = Vec::new();
    for record in rule.expiring() {
        // One more than may go, which then is the first that is left.
        let due = draft.due(record, (clock_ms, None), now_ms, step.rows + 1)?;
        types.extend(due.first().map(|(first_ms, _)| *first_ms).map(|first_ms| (first_ms, record, due)));
    }
    // The type first of which something is due first: with each step that one goes.
    types.sort_unstable_by_key(|(first_ms, record, _)| (*first_ms, *record));
    let mut sweep = Sweep { step, removed: 0, reached_ms: clock_ms, first_left_ms: u64::MAX };
    for (_, record, due) in types {
        sweep.go_over(record, due, now_ms, (rule, versions), draft, round)?;
    }
    let reached_ms = sweep.reached_ms.min(sweep.first_left_ms.saturating_sub(1));
    if reached_ms > clock_ms {
        let mut rows = WriteSet::default();
        // There is a row once it is above 0.
        let before = (clock_ms > 0).then(|| layout::clock_row(clock_ms));
        rows.replace(layout::clock_key(), before.as_deref(), Some(layout::clock_row(reached_ms)));
        draft.write(rows);
    }
    Ok(sweep.removed)
}

/// A step under way.
struct Sweep {
    /// What it may still remove.
    step: Step,
    removed: u64,
    /// The latest instant of which a record was removed.
    reached_ms: u64,
    /// The first instant of which a record is left.
    first_left_ms: u64,
}

impl Sweep {
    /// Removes what is due of one type, of which `due` is the beginning.
    fn go_over(
        &mut self,
        record: RecordId,
        mut due: Vec<(u64, Bytes)>,
        now_ms: u64,
        (rule, versions): (&Rule, &Versions),
        draft: &mut Draft<'_>,
        round: u64,
    ) -> Result<(), Error> {
        let mut stuck = 0;
        while let Some((last_ms, last_key)) = due.last().cloned() {
            for (expires_at_ms, key) in due {
                if self.step.rows == 0 || self.step.bytes == 0 {
                    self.first_left_ms = self.first_left_ms.min(expires_at_ms);
                    return Ok(());
                }
                // One that cannot be read back stays, and the clock with it: its index rows could not be found.
                let Some(changes) = rule.swept(draft, versions, (record, &key), round)? else {
                    self.first_left_ms = self.first_left_ms.min(expires_at_ms);
                    stuck += 1;
                    continue;
                };
                let bytes = changes.change.as_ref().map_or(0, |change| change.encoded_bytes());
                draft.write(changes);
                self.removed += 1;
                self.reached_ms = self.reached_ms.max(expires_at_ms);
                self.step = Step { rows: self.step.rows - 1, bytes: self.step.bytes.saturating_sub(bytes) };
            }
            if stuck >= STUCK_ROWS_MAX {
                break;
            }
            // Mostly there is none: the step was over before, or all that is due was in the beginning.
            due = draft.due(record, (last_ms, Some(&last_key)), now_ms, self.step.rows + 1)?;
        }
        Ok(())
    }
}

/// Whether any record has expired by then and is still there.
pub(crate) fn is_due(rule: &Rule, rows: &dyn Rows, now_ms: u64) -> Result<bool, Error> {
    for record in rule.expiring() {
        if rows.is_due(record, now_ms)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
