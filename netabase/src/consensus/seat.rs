//! This node's seat among the voters of an epoch: what its acceptor, its communicator and its leadership share.
//!
//! Must hold: `observed` and `decided` only grow; a vote is counted only after it is durable whose it was, in which life
//! of that peer's directory (D14); a seal that was accepted or proposed here is known before anybody hears of it. A seat is
//! left with its epoch: what still holds it can neither log nor apply anything.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::{Notify, OwnedRwLockWriteGuard, RwLock};

use super::charter::Charter;
use super::communicator::Unanswered;
use super::guard::{BALLOT_JUMP_MAX, Guard, Refused};
use super::id::{Ballot, ClusterId, Epoch, Incarnation, Round, Voters};
use super::log::{Accepted, Log, Mirror, PeerRow};
use super::mandate::{Mandate, Overreach};
use super::message::Envelope;
use super::replica::Replica;
use crate::command::{Batch, Entry};
use crate::network::Network;

/// What is fixed while the node is in this epoch.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) cluster: ClusterId,
    pub(crate) epoch: Epoch,
    pub(crate) incarnation: Incarnation,
    pub(crate) me: PeerId,
    pub(crate) voters: Voters,
    /// Which life of their directories the seal before this epoch named; of a voter that is not here, the one met first.
    pub(crate) named: HashMap<PeerId, Incarnation>,
    /// What the cluster began with.
    pub(crate) charter: Charter,
    pub(crate) entry_bytes_max: usize,
    /// How long a voter may take to answer.
    pub(crate) vote_timeout: Duration,
}

/// This node's seat. Shared by reference; all of it is used from the node's own thread.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) terms: Terms,
    pub(crate) network: Network,
    pub(crate) log: Log,
    pub(crate) replica: Arc<Replica>,
    /// Held shared while a proposal of a peer is on its way through paxakos and the log; held alone while a campaign
    /// collects what this node itself has accepted (D12).
    pub(crate) gate: Arc<RwLock<()>>,
    closed: Mutex<Option<OwnedRwLockWriteGuard<()>>>,
    mandate: Mutex<Mandate>,
    /// The greatest ballot seen in a message that passed the guard.
    observed: AtomicU64,
    /// The greatest round that a message which passed the guard decided, or that this node decided itself.
    decided: AtomicU64,
    /// The greatest round that a peer claims to be decided: a reason to ask for rows, no more.
    claimed: AtomicU64,
    /// Rounds for which a seal of this epoch was accepted or proposed here, which may be chosen.
    seals: Mutex<BTreeSet<Round>>,
    muted: AtomicBool,
    fault: Mutex<Option<Overreach>>,
    faulted: Notify,
}

impl Seat {
    pub(crate) fn new(terms: Terms, network: Network, log: Log, replica: Arc<Replica>) -> Self {
        let observed = log.durable(Mirror::ballot);
        let decided = replica.applied();
        let accepted: Vec<Accepted> = log.durable(|log| log.accepted_from(0).collect());
        let seals = accepted.into_iter().filter(|row| Batch::seal_in(&row.entry.body).is_some()).map(|row| row.round);
        let seals = seals.collect();
        Seat {
            terms,
            network,
            log,
            replica,
            gate: Arc::new(RwLock::new(())),
            closed: Mutex::default(),
            mandate: Mutex::default(),
            observed: AtomicU64::new(observed),
            decided: AtomicU64::new(decided),
            claimed: AtomicU64::new(0),
            seals: Mutex::new(seals),
            muted: AtomicBool::new(false),
            fault: Mutex::default(),
            faulted: Notify::new(),
        }
    }

    /// The bounds on messages, as of now.
    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard {
            voters: &self.terms.voters,
            applied: self.replica.applied(),
            ballot: self.observed(),
            entry_bytes_max: self.terms.entry_bytes_max,
        }
    }

    pub(crate) fn envelope<T>(&self, body: T) -> Envelope<T> {
        let Terms { cluster, epoch, incarnation, .. } = self.terms;
        Envelope { cluster, epoch, incarnation, body }
    }

    /// Whether an envelope is of this cluster and epoch.
    pub(crate) fn belongs<T>(&self, envelope: &Envelope<T>) -> bool {
        envelope.cluster == self.terms.cluster && envelope.epoch == self.terms.epoch
    }

    pub(crate) fn mandate(&self) -> MutexGuard<'_, Mandate> {
        self.mandate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no proposal of a peer is on its way through this node, and lets none in.
    pub(crate) async fn close_gate(&self) {
        let closed = Arc::clone(&self.gate).write_owned().await;
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(closed);
    }

    /// Lets proposals of peers in again.
    pub(crate) fn open_gate(&self) {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The greatest ballot that this node promised, accepted or campaigned with: never below one under which it has told
    /// anybody anything, also before a restart.
    pub(crate) fn spoken(&self) -> Ballot {
        self.log.durable(Mirror::ballot).max(self.mandate().ballot())
    }

    pub(crate) fn observed(&self) -> Ballot {
        self.observed.load(Ordering::Relaxed)
    }

    pub(crate) fn observe(&self, ballot: Ballot) {
        self.observed.fetch_max(ballot, Ordering::Relaxed);
    }

    pub(crate) fn decided(&self) -> Round {
        self.decided.load(Ordering::Relaxed).max(self.replica.applied())
    }

    pub(crate) fn decide(&self, round: Round) {
        self.decided.fetch_max(round, Ordering::Relaxed);
    }

    /// A ballot that a peer names. One that jumps too far is not believed, but draws the bound one jump nearer: two
    /// nodes of which only one heard a chain of jumps find together again, while the end of the numbers stays out of reach.
    pub(crate) fn hear_of(&self, ballot: Ballot) -> Result<(), Refused> {
        let believed = self.guard().ballot(ballot);
        self.observe(ballot.min(self.observed().saturating_add(BALLOT_JUMP_MAX)));
        believed
    }

    /// A decided round that a peer mentions, true or not.
    pub(crate) fn claim(&self, round: Round) {
        self.claimed.fetch_max(round, Ordering::Relaxed);
    }

    /// Nobody has what was claimed.
    pub(crate) fn forget_claims(&self) {
        self.claimed.store(0, Ordering::Relaxed);
    }

    /// The greatest round that rows are asked for.
    pub(crate) fn sought(&self) -> Round {
        self.decided().max(self.claimed.load(Ordering::Relaxed))
    }

    /// This node is about to accept or propose this entry.
    pub(crate) fn note_seal(&self, round: Round, entry: &Entry) {
        if Batch::seal_in(&entry.body).is_some() {
            self.seals.lock().unwrap_or_else(PoisonError::into_inner).insert(round);
        }
    }

    /// Whether an open round may seal the epoch: then nobody may vouch for its leader, who may have been succeeded.
    pub(crate) fn may_be_sealed(&self) -> bool {
        let mut seals = self.seals.lock().unwrap_or_else(PoisonError::into_inner);
        if !seals.is_empty() {
            *seals = seals.split_off(&(self.replica.applied() + 1));
        }
        !seals.is_empty() || self.replica.roster().epoch != self.terms.epoch.0
    }

    /// The seat in the epoch that follows this one, with the log as that epoch writes to it.
    pub(crate) fn succeeded(&self, voters: Voters, named: HashMap<PeerId, Incarnation>, log: Log) -> Seat {
        let terms = Terms { epoch: log.epoch(), voters, named, ..self.terms.clone() };
        let seat = Seat::new(terms, self.network.clone(), log, Arc::clone(&self.replica));
        seat.claim(self.claimed.load(Ordering::Relaxed));
        seat
    }

    /// No vote leaves this node any more.
    pub(crate) fn mute(&self) {
        self.muted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    /// What is durably remembered of a peer in this epoch.
    pub(crate) fn met(&self, peer: &PeerId) -> Option<PeerRow> {
        self.log.durable(|log| log.peer(peer)).filter(|row| row.epoch == self.terms.epoch)
    }

    /// Has the log remember the life of its directory in which a peer was first met: whatever this node says later rests on
    /// it. `false` when the log does not take it.
    pub(crate) fn meet(&self, peer: PeerId, incarnation: Incarnation) -> bool {
        if self.met(&peer).is_some() || self.terms.named.get(&peer).is_some_and(|named| *named != incarnation) {
            return true;
        }
        let row = PeerRow { epoch: self.terms.epoch, incarnation, counted: 0 };
        self.log.meet(peer, row).is_queued()
    }

    /// The life of its directory in which this peer may vote: the one that the epoch names, or else the one met first.
    pub(crate) fn life_of(&self, peer: &PeerId) -> Option<Incarnation> {
        self.terms.named.get(peer).copied().or_else(|| self.met(peer).map(|row| row.incarnation))
    }

    /// Whether this node knows `peer` with another directory: what it promised there is forgotten, so it may not lead either,
    /// since it would count its own vote (D14).
    pub(crate) fn is_other_life(&self, peer: &PeerId, incarnation: Incarnation) -> bool {
        self.life_of(peer).is_some_and(|known| known != incarnation)
    }

    /// Whether it is durable that `peer` votes with this directory.
    pub(crate) fn is_known_life(&self, peer: &PeerId, incarnation: Incarnation) -> bool {
        self.life_of(peer).is_some_and(|known| known == incarnation)
    }

    /// Resolves when a vote of `peer` under `ballot` may be counted.
    pub(crate) async fn count(&self, peer: PeerId, incarnation: Incarnation, ballot: Ballot) -> Result<(), Unanswered> {
        if self.met(&peer).is_none_or(|row| row.counted < ballot) {
            self.log.meet(peer, PeerRow { epoch: self.terms.epoch, incarnation, counted: ballot }).await?;
        }
        if self.is_other_life(&peer, incarnation) { Err(Unanswered::OtherLife) } else { Ok(()) }
    }

    /// Stops the keeper: this node was about to say something that its election does not allow.
    pub(crate) fn stop(&self, overreach: Overreach) {
        tracing::error!(%overreach, "the keeper is stopped before it contradicts an election");
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(overreach);
        self.faulted.notify_one();
    }

    /// Resolves when the keeper has to be stopped.
    pub(crate) async fn stopped(&self) -> Overreach {
        loop {
            if let Some(overreach) = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return overreach;
            }
            self.faulted.notified().await;
        }
    }
}
