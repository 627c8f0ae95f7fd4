//! What happens to a node, for whoever operates it: told from how it stands now and stood before.
//!
//! Must hold: telling costs the member nothing but a look, and whoever is told can hold nothing up; what changed back
//! before anybody looked is not told, what lasts always is. Runs on the node's thread beside the member.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::watch;

use crate::consensus::Standing;
use crate::event::Board;
use crate::network::{Network, Reason};

/// A node this many rounds behind lags, until it has nearly caught up.
const LAG_ROUNDS: u64 = 1_024;
const CAUGHT_UP_ROUNDS: u64 = 64;
/// How often strangers are counted: a flood of them is one event a second.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// What happened to this node or to its cluster, as this node sees it.
///
/// Read with `db.events()`. How things stand, `db.status()` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A member can be reached.
    Connected {
        /// Which one.
        peer: PeerId,
    },
    /// A member cannot be reached any more.
    Disconnected {
        /// Which one.
        peer: PeerId,
    },
    /// Somebody leads now, or nobody that this node knows of: writes wait meanwhile.
    LeaderChanged {
        /// Who leads.
        leader: Option<PeerId>,
    },
    /// This node leads from now on.
    Leads,
    /// This node leads no longer.
    LeadsNoLonger,
    /// Others vote from now on.
    MembersChanged {
        /// The number of the list of voters, from 0.
        epoch: u64,
        /// Who votes.
        voters: Vec<PeerId>,
    },
    /// This node does not vote any more, since its log was lost or cannot be trusted; it follows.
    VotesNoLonger,
    /// This node votes.
    Votes,
    /// This node is behind the others, so what is read here is old.
    Lags {
        /// By how many rounds, as far as is known.
        rounds: u64,
    },
    /// This node is no longer far behind.
    CaughtUp {
        /// The round that it has reached.
        round: u64,
    },
    /// The voters hold different records, and no majority of them the same, so that nobody knows who is right. All go on.
    /// Compare them, by [`Netabase::state_hash`](crate::Netabase::state_hash) or by what is known to be true, and start those
    /// that are wrong with [`Start::rebuild`](crate::Start::rebuild).
    StatesDiffer {
        /// In which round that was seen.
        round: u64,
    },
    /// A majority of the voters holds other records than this node, which ends: [`Error::Quarantined`](crate::Error) says
    /// what to do.
    Quarantined {
        /// In which round that was seen.
        round: u64,
    },
    /// Peers that are not of this cluster were refused.
    StrangersRefused {
        /// How many times since the node started.
        total: u64,
    },
    /// The disk is nearly full: no new writes are taken here, everything else goes on.
    DiskNearlyFull {
        /// What is left.
        free_bytes: u64,
    },
    /// The disk has room again, and writes are taken.
    DiskHasRoom {
        /// What is free.
        free_bytes: u64,
    },
    /// The disk is full, so that this node cannot keep its promises: it neither votes nor applies anything until there is
    /// room, and goes on by itself then.
    DiskFull,
    /// There was room again, and this node goes on.
    DiskWritable,
    /// The node has failed and stopped; what it holds can still be read. The last event.
    Failed {
        /// What happened, and what to do.
        reason: String,
    },
    /// These events were read so slowly that older ones were dropped.
    Missed {
        /// How many.
        events: u64,
    },
}

/// Tells what happens until it is dropped.
pub(super) async fn tell(mut standing: watch::Receiver<Standing>, network: Network, board: Arc<Board<Event>>) {
    let mut before = Seen::of(&standing.borrow_and_update());
    let strangers = || network.refusals().of(Reason::Stranger);
    let mut refused = strangers();
    let mut count = tokio::time::interval(COUNT_EVERY);
    count.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = standing.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = standing.borrow_and_update().clone();
                before.step(&now).iter().for_each(|event| board.put_up(event));
            }
            _ = count.tick() => {
                let total = strangers();
                if std::mem::replace(&mut refused, total) != total {
                    board.put_up(&Event::StrangersRefused { total });
                }
            }
        }
    }
}

/// What was told of a node.
#[derive(Debug)]
struct Seen {
    leads: bool,
    votes: bool,
    leader: Option<PeerId>,
    epoch: u64,
    connected: BTreeSet<PeerId>,
    lags: bool,
    full: bool,
    differs: bool,
}

impl Seen {
    fn of(standing: &Standing) -> Self {
        let Standing { leads, votes, leader, epoch, full, differs, .. } = *standing;
        let connected = standing.peers.keys().copied().collect();
        Seen { leads, votes, leader, epoch: epoch.0, connected, lags: false, full, differs: differs.is_some() }
    }

    /// What is new, in the order in which a reader wants it: who is there before who leads.
    fn step(&mut self, now: &Standing) -> Vec<Event> {
        let was = std::mem::replace(self, Seen { lags: self.lags, ..Seen::of(now) });
        let mut events = Vec::new();
        events.extend(self.connected.difference(&was.connected).map(|&peer| Event::Connected { peer }));
        events.extend(was.connected.difference(&self.connected).map(|&peer| Event::Disconnected { peer }));
        if was.epoch != self.epoch {
            events.push(Event::MembersChanged { epoch: self.epoch, voters: now.voters.iter().copied().collect() });
        }
        match (was.votes, self.votes) {
            (true, false) => events.push(Event::VotesNoLonger),
            (false, true) => events.push(Event::Votes),
            _ => {}
        }
        if was.leader != self.leader {
            events.push(Event::LeaderChanged { leader: self.leader });
        }
        match (was.leads, self.leads) {
            (false, true) => events.push(Event::Leads),
            (true, false) => events.push(Event::LeadsNoLonger),
            _ => {}
        }
        match (was.full, self.full) {
            (false, true) => events.push(Event::DiskFull),
            (true, false) => events.push(Event::DiskWritable),
            _ => {}
        }
        if let Some(round) = now.differs.filter(|_| !was.differs) {
            events.push(Event::StatesDiffer { round });
        }
        let rounds = now.known.saturating_sub(now.applied);
        if !was.lags && rounds > LAG_ROUNDS {
            self.lags = true;
            events.push(Event::Lags { rounds });
        } else if was.lags && rounds <= CAUGHT_UP_ROUNDS {
            self.lags = false;
            events.push(Event::CaughtUp { round: now.applied });
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{Epoch, Voters};

    fn standing(voters: &[PeerId]) -> Standing {
        Standing { voters: Voters::new(voters.to_vec()), ..Standing::default() }
    }

    #[test]
    fn what_changed_is_told_once_and_in_order() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let quiet = standing(&[a]);
        let mut seen = Seen::of(&quiet);
        let lively = Standing {
            leads: true,
            votes: true,
            leader: Some(a),
            epoch: Epoch(1),
            voters: Voters::new(vec![a, b]),
            peers: Arc::new([(b, None)].into()),
            ..quiet.clone()
        };
        let voters = lively.voters.iter().copied().collect();
        assert_eq!(
            seen.step(&lively),
            [
                Event::Connected { peer: b },
                Event::MembersChanged { epoch: 1, voters },
                Event::Votes,
                Event::LeaderChanged { leader: Some(a) },
                Event::Leads,
            ]
        );
        assert_eq!(seen.step(&lively), []);
        // Rounds that were applied, here or there, are nothing to tell.
        let busy = Standing { applied: 7, durable: 5, peers: Arc::new([(b, Some(6))].into()), ..lively.clone() };
        assert_eq!(seen.step(&busy), []);
        let lonely = Standing { epoch: lively.epoch, votes: true, ..quiet };
        assert_eq!(
            seen.step(&lonely),
            [Event::Disconnected { peer: b }, Event::LeaderChanged { leader: None }, Event::LeadsNoLonger]
        );
    }

    #[test]
    fn a_node_lags_until_it_has_caught_up() {
        let at = |known, applied| Standing { known, applied, ..Standing::default() };
        let mut seen = Seen::of(&at(0, 0));
        assert_eq!(seen.step(&at(LAG_ROUNDS, 0)), []);
        assert_eq!(seen.step(&at(LAG_ROUNDS + 1, 0)), [Event::Lags { rounds: LAG_ROUNDS + 1 }]);
        assert_eq!(seen.step(&at(LAG_ROUNDS + 2, LAG_ROUNDS)), [Event::CaughtUp { round: LAG_ROUNDS }]);
        assert_eq!(seen.step(&at(3 * LAG_ROUNDS, LAG_ROUNDS)), [Event::Lags { rounds: 2 * LAG_ROUNDS }]);
        assert_eq!(seen.step(&at(3 * LAG_ROUNDS, 2 * LAG_ROUNDS)), [], "somewhat better is not well");
    }
}
