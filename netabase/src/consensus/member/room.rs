//! The member while the disk is full: it says nothing that it would have to remember, and goes on when there is room.
//!
//! Must hold: from the moment in which the log takes nothing any more, no vote, confirm or beat leaves, and nothing is
//! applied, since the log could not note it (D13); the keeper that goes on afterwards is a new one, woken from the log as
//! after a restart (D7), since the one before has promised what was never logged.

use std::sync::Arc;
use std::time::Instant;

use super::{Member, copy};
use crate::error::Result;

/// Whether the log takes anything, as the member knows it.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// How many of the log's pauses it has seen.
    pauses: u64,
    full: bool,
}

impl Room {
    pub(super) fn is_full(&self) -> bool {
        self.full
    }
}

impl Member {
    /// Stops what needs the log when it is paused, and begins anew when it is not any more.
    pub(super) async fn mind_room(&mut self) -> Result<()> {
        let (log, pauses) = (self.seat.log.clone(), self.seat.log.pauses());
        if self.room.pauses != pauses {
            (self.room.pauses, self.room.full) = (pauses, true);
            self.rest();
            if let Some(reason) = log.failure() {
                tracing::error!(%reason, "this node rests until there is room on its disk");
                self.submitter.hold(Some(Arc::new(move || copy(&reason))));
            }
        }
        if self.room.full && !log.is_paused() {
            self.room.full = false;
            self.submitter.hold(None);
            self.revive().await?;
        }
        Ok(())
    }

    /// No keeper, no leadership, nothing under way.
    fn rest(&mut self) {
        self.end_life();
        self.seat.open_gate();
        self.leadership.on_lost(Instant::now());
        self.submitter.send_all_again();
    }
}
