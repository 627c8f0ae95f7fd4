//! Removing what has expired: one clock for all nodes, which only the log moves.
//!
//! ```text
//! leader: the clocks of a majority say that something is due ─▶ Expire { now_ms } ─▶ apply: due rows go, the clock follows
//! ```
//! Must hold: no record is stored that had expired by the clock, so nothing else in `apply` has to ask; the clock never goes
//! back, and never past a record that is still there: a step removes some rows and moves it up to the next one.

use super::rule::Rule;
use super::versions::Versions;
use crate::Error;
use crate::schema::RecordId;
use crate::storage::{Draft, Rows, Selecting, StoreError, WriteSet, layout};

/// Rows that one step removes: it holds up the rounds behind it.
const STEP_ROWS: usize = 256;
/// Bytes of values after which a step ends.
const STEP_BYTES: usize = 1 << 20;

/// Up to when everything is removed that has expired, in milliseconds since 1970.
pub(super) fn clock_ms(rows: &dyn Rows) -> Result<u64, Error> {
    let Some(row) = rows.get(&layout::clock_key())? else { return Ok(0) };
    let clock_ms = layout::split_clock_row(&row);
    Ok(clock_ms.ok_or_else(|| StoreError::Damaged("the clock of what expires does not decode".to_owned()))?)
}

/// One step towards `now_ms`.
pub(crate) fn expire(
    (rule, versions): (&Rule, &Versions),
    draft: &mut Draft<'_>,
    now_ms: u64,
    round: u64,
) -> Result<(), Error> {
    let (clock_ms, before) = (clock_ms(draft)?, draft.get(&layout::clock_key())?);
    if now_ms <= clock_ms {
        return Ok(());
    }
    let (mut rows_left, mut bytes_left) = (STEP_ROWS, STEP_BYTES);
    // The type first of which something is due first: with each step that one goes.
    let mut firsts = firsts(rule, draft)?;
    firsts.sort_unstable();
    for Due { record, .. } in firsts {
        for key in draft.due(record, now_ms, rows_left)? {
            if bytes_left == 0 {
                break;
            }
            // One that cannot be read back stays, and the clock with it: its index rows could not be found.
            let Some(changes) = rule.swept(draft, versions, (record, &key), round)? else { continue };
            let bytes = changes.change.as_ref().map_or(0, |change| change.encoded_bytes());
            draft.write(changes);
            rows_left = rows_left.saturating_sub(1);
            bytes_left = bytes_left.saturating_sub(bytes);
        }
    }
    let reached = match first_due(rule, draft)? {
        Some(next) => now_ms.min(next.expires_at_ms.saturating_sub(1)),
        None => now_ms,
    };
    if reached > clock_ms {
        let mut rows = WriteSet::default();
        rows.replace(layout::clock_key(), before.as_deref(), Some(layout::clock_row(reached)));
        draft.write(rows);
    }
    Ok(())
}

/// The record that expires before all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) expires_at_ms: u64,
    record: RecordId,
    key: bytes::Bytes,
}

/// The record that expires first.
pub(crate) fn first_due(rule: &Rule, rows: &dyn Rows) -> Result<Option<Due>, Error> {
    Ok(firsts(rule, rows)?.into_iter().min())
}

/// The record of each type that expires first.
fn firsts(rule: &Rule, rows: &dyn Rows) -> Result<Vec<Due>, Error> {
    let first = |record| {
        let first = rows.first_expiry(record)?;
        Ok(first.map(|(expires_at_ms, key)| Due { expires_at_ms, record, key }))
    };
    rule.expiring().filter_map(|record| first(record).transpose()).collect()
}

#[cfg(test)]
mod tests;
