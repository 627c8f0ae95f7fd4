//! A store alone removes what has expired before it writes anything else: its own clock is the only one.

use super::{Inner, Writer};
use crate::clock;
use crate::error::Result;
use crate::machine::{CLOCK_AHEAD_MS, Rule, Step, Versions, expire};
use crate::storage::{Selecting, View};

/// What is removed with one sync of the disk.
const STEP: Step = Step { rows: 16_384, bytes: 16 << 20 };

impl Inner {
    /// Removes what has expired by now, which it returns: no such record refuses a write.
    pub(super) fn expire(&self, writer: &mut Writer) -> Result<u64> {
        sweep(writer, &self.rule, &self.versions)
    }
}

/// The same, before there is a store to speak of.
pub(super) fn sweep(writer: &mut Writer, rule: &Rule, versions: &Versions) -> Result<u64> {
    let now_ms = clock::now_ms();
    loop {
        let round = writer.store.applied() + 1;
        let mut draft = writer.store.draft();
        // What cannot be removed is looked at again before each write, since one may have mended it.
        if expire((rule, versions), &mut draft, now_ms, round, STEP)? == 0 {
            return Ok(now_ms);
        }
        draft.install(round)?;
        writer.flush()?;
    }
}

/// The clock of this machine was wrong when something was removed, or is now.
pub(super) fn tell_if_ahead(view: &View) -> Result<()> {
    let (clock_ms, now_ms) = (view.clock_ms()?, clock::now_ms());
    if clock_ms > now_ms.saturating_add(CLOCK_AHEAD_MS) {
        tracing::error!(
            clock_ms,
            now_ms,
            "the clock by which records expire is ahead of this machine's: records that expire before it are not kept"
        );
    }
    Ok(())
}
