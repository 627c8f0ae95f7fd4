//! Watches the free space of the disk: new writes are refused before nothing can be voted on any more (D13).

use std::sync::Arc;
use std::time::Duration;

use super::news::Event;
use super::volume::Volume;
use crate::consensus::Submitter;
use crate::error::Error;
use crate::event::Board;

/// Below this, no new writes are taken; what others agree on is still logged and voted for.
pub(super) const LOW_WATER_BYTES: u64 = 64 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs beside the member until it is dropped.
pub(super) async fn watch(volume: Arc<dyn Volume>, submitter: Arc<Submitter>, board: Arc<Board<Event>>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut low = false;
    loop {
        look.tick().await;
        let free = volume.free_bytes().unwrap_or(u64::MAX);
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
