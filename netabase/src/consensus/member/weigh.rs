//! Whether a member can leave: asked of the leader, who knows who is there.

use libp2p::PeerId;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use super::Member;
use crate::consensus::leadership::Role;
use crate::consensus::message::{Envelope, ForwardAnswer, ForwardRequest};
use crate::error::{Error, Result};
use crate::network::Channel;

/// How long the leader may take.
const WEIGH_TIMEOUT: Duration = Duration::from_secs(1);

impl Member {
    /// This node's handle asks.
    pub(super) fn weigh(&mut self, leaving: PeerId, answer: oneshot::Sender<Result<()>>) {
        let now = Instant::now();
        if let Role::Leading { .. } = self.leadership.role() {
            let _ = answer.send(verdict(self.on_weigh(&leaving.to_bytes())));
            return;
        }
        let request = self.seat.envelope(ForwardRequest::Weigh { leaving: leaving.to_bytes() }).encode();
        let (Some(leader), Ok(payload)) = (self.leadership.leader(now), request) else {
            let _ = answer.send(Err(self.submitter.no_quorum()));
            return;
        };
        let asked = self.seat.network.request(leader, Channel::Forward, payload, WEIGH_TIMEOUT);
        let seat = std::sync::Arc::clone(&self.seat);
        tokio::task::spawn_local(async move {
            let answered = asked.await.ok().and_then(|bytes| Envelope::<ForwardAnswer>::decode(&bytes).ok());
            let answered = answered.filter(|envelope| seat.belongs(envelope)).map(|envelope| envelope.body);
            let _ = answer.send(answered.map_or(Err(Error::NoQuorum), verdict));
        });
    }

    /// A member asks this node, which leads, or does not.
    pub(super) fn on_weigh(&mut self, leaving: &[u8]) -> ForwardAnswer {
        let now = Instant::now();
        let Role::Leading { .. } = self.leadership.role() else {
            return ForwardAnswer::not_leader(self.leadership.leader(now));
        };
        let Ok(leaving) = PeerId::from_bytes(leaving) else { return ForwardAnswer::Taken };
        match self.objection_to_removing(leaving, now) {
            Some(reason) => ForwardAnswer::Refused { reason },
            None => ForwardAnswer::Taken,
        }
    }
}

fn verdict(answer: ForwardAnswer) -> Result<()> {
    match answer {
        ForwardAnswer::Taken => Ok(()),
        ForwardAnswer::Refused { reason } => Err(Error::Configuration { option: "remove_member", reason }),
        _ => Err(Error::NoQuorum),
    }
}
