//! Bringing stored rows to the active version of their record type, some at a time.
//!
//! Must hold: a row changes with its index rows or not at all, and keeps the round of its last write, since nothing was
//! written; a row that cannot be converted stays as it is, is counted, and is looked at again in the next walk.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;

use super::rule::Rule;
use super::versions::{Pass, Stored};
use crate::Error;
use crate::command::short_reason;
use crate::schema::RecordId;
use crate::storage::{RowBounds, Rows, WriteSet, as_slice, layout};

/// Rows that one step looks at: it holds up the rounds behind it.
const STEP_ROWS: usize = 256;
/// Bytes of values after which a step ends.
const STEP_BYTES: usize = 1 << 20;

/// One step of the walk over a record type, when it is this late: the rows to change, and how far it came.
pub(super) fn step(
    rows: &dyn Rows,
    rule: &Rule,
    record: RecordId,
    stored: &Stored,
    now_ms: u64,
) -> Result<(Vec<WriteSet>, Stored), Error> {
    let mut pass = stored.pass.clone().filter(|pass| !pass.over).unwrap_or_default();
    let mut changes: Vec<WriteSet> = Vec::new();
    let (lower, upper) = bounds(record, &pass);
    let (mut looked_at, mut bytes) = (0, 0);
    let mut ended = true;
    // What this step has written is not seen by its own scan: a unique key that two of its rows share is in here.
    let mut taken = BTreeSet::new();
    for row in rows.scan(as_slice(&lower), as_slice(&upper), false)? {
        if looked_at == STEP_ROWS || bytes >= STEP_BYTES {
            ended = false;
            break;
        }
        let (row_key, row) = row?;
        looked_at += 1;
        bytes += row.len();
        pass.after = layout::split_record_key(&row_key);
        match rule.converted(rows, record, (stored, now_ms), (&row_key, &row), &mut taken)? {
            Ok(None) => {}
            Ok(Some(change)) => changes.push(change),
            Err(reason) => {
                pass.stuck += 1;
                pass.reason.get_or_insert(short_reason(reason));
            }
        }
    }
    let mut after = stored.clone();
    after.pass = if !ended {
        Some(pass)
    } else if pass.stuck > 0 {
        Some(Pass { after: None, over: true, ..pass })
    } else {
        after.floor = after.active;
        None
    };
    Ok((changes, after))
}

fn bounds(record: RecordId, pass: &Pass) -> RowBounds {
    let prefix = layout::record_prefix(record);
    let lower = match &pass.after {
        Some(key) => Bound::Excluded(layout::record_key(record, key)),
        None => Bound::Included(Bytes::copy_from_slice(&prefix)),
    };
    (lower, layout::successor(&prefix))
}
