//! A store alone removes what has expired before it writes anything else: its own clock is the only one.

use super::{Inner, Writer};
use crate::clock;
use crate::error::Result;
use crate::machine::{expire, first_due};

impl Inner {
    /// Removes what has expired by now, which it returns: no such record refuses a write.
    pub(super) fn expire(&self, writer: &mut Writer) -> Result<u64> {
        let now_ms = clock::now_ms();
        let mut last = None;
        while let Some(first) = first_due(&self.rule, &writer.store.view())? {
            // What cannot be removed stays first.
            if first.expires_at_ms > now_ms || last.as_ref() == Some(&first) {
                break;
            }
            let round = writer.store.applied() + 1;
            let mut draft = writer.store.draft();
            expire((&self.rule, &self.versions), &mut draft, now_ms, round)?;
            draft.install(round)?;
            writer.flush()?;
            last = Some(first);
        }
        Ok(now_ms)
    }
}
