//! Whether two nodes belong together: settled once a connection, before any vote passes between them.
//!
//! Must hold: a peer whose greeting does not fit is not answered and not counted; in which life of its directory a peer was
//! first met is in the log before this node's next vote is, so that another life never has one here (D14); a node that a
//! peer remembers from another life, or voting under a greater ballot than its own log holds, never votes again in this
//! epoch (D9, D14); one peer's word suffices for that, within what the guard believes of a ballot.

use std::collections::HashSet;
use std::sync::Arc;

use libp2p::PeerId;

use super::id::Ballot;
use super::log::Mirror;
use super::message::Greeting;
use super::seat::Seat;
use super::submit::Trouble;
use crate::error::Error;
use crate::schema::Summary;

/// Characters of a peer's own words in an error.
const SHOWN_MAX: usize = 1_000;

/// What a greeting leads to.
pub(crate) enum Verdict {
    /// The two belong together.
    Welcome,
    /// They do not, for as long as both stay as they are.
    Stranger(Trouble),
    /// They do, but this node has forgotten what it said in this epoch: it must not vote (D9, D14).
    Forgetful(String),
    /// The log does not take it now: to be greeted again.
    Busy,
}

/// The peers that were greeted over the connection that is open now.
#[derive(Debug, Default)]
pub(crate) struct Acquaintances {
    greeted: HashSet<PeerId>,
}

impl Acquaintances {
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.greeted.contains(peer)
    }

    /// Everybody who was greeted.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PeerId> {
        self.greeted.iter()
    }

    pub(crate) fn on_disconnected(&mut self, peer: &PeerId) {
        self.greeted.remove(peer);
    }

    /// A greeting arrived, as a question or as the answer to ours.
    pub(crate) fn on_greeting(&mut self, seat: &Seat, mine: &Greeting, from: PeerId, theirs: &Greeting) -> Verdict {
        if let Some(trouble) = difference(mine, theirs) {
            self.greeted.remove(&from);
            return Verdict::Stranger(trouble);
        }
        if seat.guard().ballot(theirs.counted).is_err() {
            self.greeted.remove(&from);
            return Verdict::Stranger(unbelievable(from, theirs.counted));
        }
        if !seat.meet(from, theirs.incarnation) {
            self.greeted.remove(&from);
            return Verdict::Busy;
        }
        self.greeted.insert(from);
        seat.claim(theirs.applied);
        if theirs.epoch != seat.terms.epoch {
            // What either counted or met in another epoch binds nobody in this one.
            return Verdict::Welcome;
        }
        if theirs.remembered.is_some_and(|remembered| remembered != seat.terms.incarnation) {
            return Verdict::Forgetful(format!(
                "its directory is not the one in which the founder {from} first met it"
            ));
        }
        if theirs.counted > seat.log.durable(Mirror::ballot) {
            return Verdict::Forgetful(format!(
                "its consensus log is older than it was: the founder {from} counted a vote under ballot {} that it does not hold",
                theirs.counted
            ));
        }
        Verdict::Welcome
    }
}

/// What this node says of itself to `peer`.
pub(crate) fn greeting(seat: &Seat, schema: &Summary, peer: &PeerId) -> Greeting {
    let met = seat.met(peer);
    Greeting {
        cluster: seat.terms.cluster,
        epoch: seat.terms.epoch,
        incarnation: seat.terms.incarnation,
        founders: seat.terms.charter.founders.clone(),
        schema: schema.clone(),
        counted: met.map_or(0, |row| row.counted),
        remembered: seat.life_of(peer),
        applied: seat.replica.applied(),
    }
}

/// Why two nodes do not belong together, as the error that tells what to do.
fn difference(mine: &Greeting, theirs: &Greeting) -> Option<Trouble> {
    if mine.founders != theirs.founders {
        let reason = format!(
            "the nodes name different founders: give every founder the same list. Here: {}. There: {}",
            mine.founders.join(", "),
            shown(theirs.founders.join(", "))
        );
        return Some(Arc::new(move || Error::Configuration { option: "founders", reason: reason.clone() }));
    }
    // Of two that founded a cluster together but for their schemas, any difference is the reason.
    let begun_apart = mine.cluster != theirs.cluster;
    let difference = || if begun_apart { mine.schema.inequality(&theirs.schema) } else { None };
    if let Some((ours, theirs)) = mine.schema.difference(&theirs.schema).or_else(difference) {
        let theirs = shown(theirs);
        return Some(Arc::new(move || Error::SchemaMismatch { ours: ours.clone(), theirs: theirs.clone() }));
    }
    if begun_apart {
        let reason = format!("a peer belongs to the cluster {}, this node to {}", theirs.cluster, mine.cluster);
        return Some(Arc::new(move || Error::Configuration { option: "founders", reason: reason.clone() }));
    }
    None
}

/// What a peer says of itself, as long as it may be in an error or in this node's own log.
pub(crate) fn shown(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(SHOWN_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// No vote of this node can have been under such a ballot: it would be out of the guard's reach for the others, too.
fn unbelievable(from: PeerId, counted: Ballot) -> Trouble {
    let reason = format!("the founder {from} claims a vote of this node under ballot {counted}, which cannot be");
    Arc::new(move || Error::Network { reason: reason.clone() })
}
