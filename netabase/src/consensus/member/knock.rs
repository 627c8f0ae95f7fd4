//! The door: who holds an invite is let in, by whichever member it knocks at (DESIGN, "Who is let in").
//!
//! Must hold: only the holder of the secret comes this far, since its connection is made with the key that is the invite's
//! hash; this member's clock says whether the invite has expired; the log says whether it is known and who may use it; an
//! answer that lets in leaves only when the admission is applied here.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use libp2p::PeerId;

use super::Member;
use crate::clock;
use crate::command::{Action, InviteHash, MemberId, Reform, ReformRefusal};
use crate::consensus::acquaintance::shown;
use crate::consensus::addresses::knocker;
use crate::consensus::charter::Admission;
use crate::consensus::message::{Knock, KnockAnswer, Pulse, PulseAnswer};
use crate::consensus::seat::Seat;
use crate::error::Error;
use crate::network::Reply;
use crate::schema::codec;

impl Member {
    /// Somebody asks to be let in.
    pub(super) fn on_knock(&mut self, from: PeerId, knock: &Knock, reply: Reply) {
        let roster = self.seat.replica.roster();
        let invite = roster.invites().find(|invite| knocker(invite) == Some(from)).copied();
        let Some(invite) = invite else { return answer(reply, KnockAnswer::Invalid(UNKNOWN.to_owned())) };
        if knock.cluster != self.seat.terms.cluster {
            let reason = format!("it is to the cluster {}, and this is {}", knock.cluster, self.seat.terms.cluster);
            return answer(reply, KnockAnswer::Invalid(reason));
        }
        let stored = self.seat.replica.versions().stored();
        let difference = self.schema.difference(&knock.schema);
        if let Some((ours, theirs)) = difference.or_else(|| self.schema.lacking(&knock.schema, &stored)) {
            return answer(reply, KnockAnswer::SchemaMismatch { ours, theirs: shown(theirs) });
        }
        let Ok(peer) = PeerId::from_bytes(&knock.member) else {
            return answer(reply, KnockAnswer::Invalid("who asks to be let in gives no peer id".to_owned()));
        };
        let member = MemberId::new(peer.to_bytes());
        if let Err(refusal) = roster.invited(&invite, &member) {
            return answer(reply, KnockAnswer::Invalid(reason_of(refusal)));
        }
        // Whoever has used it may come back at any time.
        if !roster.has_used(&invite, &member)
            && let Some(expired) = roster.expires_at_ms(&invite).and_then(since)
        {
            let reason = format!("it expired {} s ago, by this member's clock: ask for a new one", expired.as_secs());
            return answer(reply, KnockAnswer::Invalid(reason));
        }
        self.admit(invite, member, reply);
    }

    fn admit(&self, invite: InviteHash, member: MemberId, reply: Reply) {
        let (submitter, seat) = (Arc::clone(&self.submitter), Arc::clone(&self.seat));
        let told = self.addresses.clone();
        tokio::task::spawn_local(async move {
            let admitted = submitter.submit(Action::from(Reform::Admit { hash: invite, member })).await;
            let body = match admitted {
                Ok(_) => KnockAnswer::Admitted(admission(&seat, &told)),
                Err(Error::InvalidInvite { reason }) => KnockAnswer::Invalid(reason),
                Err(Error::Configuration { reason, .. }) => KnockAnswer::Invalid(reason),
                Err(_) => KnockAnswer::Later,
            };
            answer(reply, body);
        });
    }
}

/// What a newcomer needs to know of the cluster.
fn admission(seat: &Seat, told: &crate::consensus::addresses::Addresses) -> Admission {
    let (listening, me) = (seat.network.listen_addresses(), seat.terms.me);
    let peers = told.nodes(&seat.replica.roster()).into_iter().map(|(peer, mut addresses)| {
        if peer == me {
            addresses
                .extend(listening.iter().filter(|address| !addresses.contains(address)).cloned().collect::<Vec<_>>());
        }
        (peer.to_string(), addresses.iter().map(ToString::to_string).collect())
    });
    Admission { charter: seat.terms.charter.clone(), cluster: seat.terms.cluster, peers: peers.collect() }
}

const UNKNOWN: &str = "this member does not know it: it was revoked, or never given out; ask for a new one";

/// How long ago that was, by this machine's clock.
fn since(unix_ms: u64) -> Option<Duration> {
    let then = UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms))?;
    clock::now().duration_since(then).ok()
}

fn reason_of(refusal: ReformRefusal) -> String {
    match refusal.into_error() {
        Error::InvalidInvite { reason } => reason,
        other => other.to_string(),
    }
}

fn answer(reply: Reply, answer: KnockAnswer) {
    if let Ok(bytes) = codec::encode(&Pulse::<PulseAnswer>::Answered(Box::new(answer))) {
        reply.send(Bytes::from(bytes));
    }
}
