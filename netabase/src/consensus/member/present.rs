//! A member says in which life it is, where it is reached and what it reads, when the log says otherwise.
//!
//! Must hold: a founder of a cluster to which nothing has happened says nothing; one that lost its memory always does,
//! since it votes again only in an epoch that names its new life (D9). Said through the submitter, as any other command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Member;
use super::report::Report;
use crate::command::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, Action, Reform};
use crate::consensus::addresses::member_id;

/// Pause before it is said again.
const PAUSE: Duration = Duration::from_secs(1);

/// What this node says of itself.
#[derive(Debug, Default)]
pub(super) struct Presence {
    saying: bool,
    after: Option<Instant>,
}

impl Member {
    pub(super) fn present(&mut self) {
        let now = Instant::now();
        if self.presence.saying || self.presence.after.is_some_and(|after| now < after) {
            return;
        }
        let roster = self.seat.replica.roster();
        let me = member_id(&self.seat.terms.me);
        let Some(known) = roster.member(&me) else { return };
        let addresses = self.reachable_at();
        let moved = !addresses.is_empty() && known.addresses != addresses;
        let reads = self.schema.newest();
        let is_same = known.reads == reads;
        let said = known.life == Some(self.own) && !moved && is_same;
        if said || (roster.is_founded_only() && self.own.lapses == 0 && is_same) {
            return;
        }
        let addresses = if addresses.is_empty() { known.addresses.clone() } else { addresses };
        let present = Action::from(Reform::Present { member: me, life: self.own, addresses, reads });
        self.presence.saying = true;
        let (submitter, reports) = (Arc::clone(&self.submitter), self.reports.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = submitter.submit(present).await {
                tracing::debug!(%error, "this node could not say where it is");
            }
            let _ = reports.send(Report::Presented).await;
        });
    }

    pub(super) fn on_presented(&mut self, now: Instant) {
        self.presence = Presence { saying: false, after: Some(now + PAUSE) };
    }

    /// The addresses that this node listens on, in an order that stays the same.
    fn reachable_at(&self) -> Vec<String> {
        let listening = self.seat.network.listen_addresses();
        let mut addresses: Vec<String> = listening.iter().map(ToString::to_string).collect();
        addresses.retain(|address| address.len() <= ADDRESS_BYTES_MAX);
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        addresses
    }
}
