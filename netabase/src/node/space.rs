//! Watches the free space of the disk: new writes are refused before nothing can be voted on any more (D13).
//!
//! ```text
//! much ─▶ below 64 MiB: no new writes, votes go on ─▶ below 16 MiB: the ballast is let go of, votes still go on
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::ballast::BALLAST_BYTES;
use super::news::Event;
use super::volume::Volume;
use crate::consensus::Submitter;
use crate::error::Error;
use crate::event::Board;

/// Below this, no new writes are taken; what others agree on is still logged and voted for.
pub(super) const LOW_WATER_BYTES: u64 = 64 << 20;
/// Below this, the ballast is let go of.
pub(super) const FULL_BYTES: u64 = 16 << 20;
/// With this much, the ballast is made: what it takes leaves more than enough, and letting go of it is not followed by
/// making it anew.
const ROOMY_BYTES: u64 = LOW_WATER_BYTES + 2 * BALLAST_BYTES;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs beside the member until it is dropped.
pub(super) async fn watch(volume: Arc<dyn Volume>, submitter: Arc<Submitter>, board: Arc<Board<Event>>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut low = false;
    // Whether the ballast is there, as far as it can be known without looking.
    let mut held = false;
    loop {
        look.tick().await;
        let Some(free) = volume.free_bytes() else { continue };
        held = keep_ballast(&volume, free, held);
        if (free < LOW_WATER_BYTES) == low {
            continue;
        }
        low = !low;
        if low {
            board.put_up(&Event::DiskNearlyFull { free_bytes: free });
            tracing::error!(free, "the disk is nearly full: no new writes are taken");
            submitter.refuse(Some(Arc::new(move || Error::Storage {
                reason: format!(
                    "the disk has {} MiB left, fewer than {} MiB: free some space; reads go on, and writes once there is room",
                    free >> 20,
                    LOW_WATER_BYTES >> 20
                ),
                source: None,
            })));
        } else {
            board.put_up(&Event::DiskHasRoom { free_bytes: free });
            tracing::info!(free, "the disk has room again: writes are taken");
            submitter.refuse(None);
        }
    }
}

/// Makes the ballast where there is much room, lets go of it where there is none; whether it is there then.
fn keep_ballast(volume: &Arc<dyn Volume>, free: u64, held: bool) -> bool {
    let done = if free < FULL_BYTES {
        volume.release_ballast().map(|released| {
            if released {
                tracing::error!(free, "the disk is full: the ballast is let go of");
            }
            false
        })
    } else if free >= ROOMY_BYTES && !held {
        volume.hold_ballast().map(|_| true)
    } else {
        return held;
    };
    done.unwrap_or_else(|error| {
        tracing::warn!(%error, "the ballast is left as it is");
        held
    })
}
