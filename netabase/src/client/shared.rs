//! What the handle and the client's thread share: at which member they are, and what they have seen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::{ASKS_MAX, MOMENTS_MAX, RUNS_MAX, Target, WATCHES_MAX};
use crate::consensus::{Round, Submitter, Trouble};
use crate::desk::Right;
use crate::desk::message::{Hello, Request, Welcome};
use crate::error::{Error, Result};
use crate::event::Board;
use crate::network::Network;
use crate::node::Event;
use crate::schema::{Catalog, Plan, RecordId};

/// The member that is asked, for as long as it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(super) peer: PeerId,
    /// Counts the moves, so that what is said of an earlier stay is not taken for this one's.
    pub(super) stay: u64,
}

/// Where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    At(Member),
    Looking,
    Ended,
}

/// A client's state beside its thread.
pub(crate) struct Shared {
    pub(crate) peer_id: PeerId,
    pub(super) network: Network,
    pub(super) target: Target,
    pub(crate) catalog: Catalog,
    pub(crate) submitter: Arc<Submitter>,
    /// How long a call waits for an answer.
    pub(super) timeout: Duration,
    pub(super) place: watch::Sender<Where>,
    seen: AtomicU64,
    record_bytes_max: AtomicUsize,
    /// In which version each record type is written, as the member last said.
    active: Mutex<BTreeMap<RecordId, u8>>,
    /// How many members there are to turn to.
    reachable: AtomicUsize,
    /// Why no member takes this client, as the last one said.
    trouble: Mutex<Option<Trouble>>,
    /// What happens to this client.
    pub(crate) board: Arc<Board<Event>>,
    pub(super) asks: Semaphore,
    pub(super) runs: Arc<Semaphore>,
    pub(super) moments: Semaphore,
    pub(super) watches: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(network: Network, peer_id: PeerId, catalog: Catalog, target: Target, timeout: Duration) -> Self {
        Shared {
            peer_id,
            network,
            target,
            submitter: Arc::new(Submitter::new(catalog.clone(), timeout)),
            catalog,
            timeout,
            place: watch::Sender::new(Where::Looking),
            seen: AtomicU64::new(0),
            record_bytes_max: AtomicUsize::new(0),
            active: Mutex::default(),
            reachable: AtomicUsize::new(0),
            trouble: Mutex::default(),
            board: Board::new(),
            asks: Semaphore::new(ASKS_MAX),
            runs: Arc::new(Semaphore::new(RUNS_MAX)),
            moments: Semaphore::new(MOMENTS_MAX),
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
        }
    }

    /// Whether there is a connection to this member, asked or not.
    pub(crate) fn is_connected(&self, peer: PeerId) -> bool {
        self.network.is_connected(peer)
    }

    /// The greatest round that the handle has seen.
    pub(crate) fn seen(&self) -> Round {
        self.seen.load(Ordering::Acquire)
    }

    pub(super) fn see(&self, round: Round) {
        self.seen.fetch_max(round, Ordering::AcqRel);
    }

    /// The largest record that the cluster takes.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.record_bytes_max.load(Ordering::Relaxed)
    }

    /// In which version records of this type are written.
    pub(crate) fn active(&self, record: RecordId) -> Option<u8> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).get(&record).copied()
    }

    /// Errs where the index of a plan of this program has other keys as it is stored: a member would look for what is not there.
    pub(super) fn check_index(&self, plan: &Plan) -> Result<()> {
        let (Some(index), Some(glue)) = (plan.index, self.catalog.record(plan.record)) else { return Ok(()) };
        let written = self.active(plan.record).and_then(|version| glue.at(version)?.index(index));
        match (glue.index(index), written) {
            (Some(ours), Some(written)) if !ours.has_form_of(written) => {
                Err(Error::IndexNotReady { record: glue.name.to_owned(), index: ours.name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// How many members there are to turn to, as the link last saw it.
    pub(super) fn reachable(&self) -> usize {
        self.reachable.load(Ordering::Relaxed)
    }

    pub(super) fn set_reachable(&self, members: usize) {
        self.reachable.store(members, Ordering::Relaxed);
    }

    pub(super) fn hello(&self) -> Request {
        Request::Hello(Hello { cluster: self.target.cluster, schema: self.catalog.summary() })
    }

    /// A member has taken this client.
    pub(super) fn on_welcome(&self, welcome: &Welcome) {
        let bytes_max = usize::try_from(welcome.record_bytes_max).unwrap_or(usize::MAX);
        self.record_bytes_max.store(bytes_max, Ordering::Relaxed);
        self.active.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&welcome.active);
        self.set_trouble(None);
        self.submitter.refuse(match welcome.right {
            Right::Write => None,
            Right::Read => Some(Arc::new(|| Error::NotAuthorized {
                reason: "this client is a reader: connect with an invite for a client to write".into(),
            })),
        });
    }

    /// Why nothing can be done, until a member takes this client.
    pub(super) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.submitter.set_trouble(trouble.clone());
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn trouble(&self) -> Option<Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|trouble| trouble())
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.place.borrow() == Where::Ended
    }

    /// The member to ask; waits for one.
    pub(super) async fn member(&self) -> Result<Member> {
        let mut place = self.place.subscribe();
        let found = place.wait_for(|place| *place != Where::Looking).await;
        match found.as_deref() {
            Ok(Where::At(member)) => Ok(*member),
            _ => Err(self.ending()),
        }
    }

    /// The same, until then at most.
    pub(super) async fn member_until(&self, deadline: Instant) -> Result<Member> {
        match tokio::time::timeout_at(deadline, self.member()).await {
            Ok(member) => member,
            Err(_) => Err(self.submitter.no_quorum()),
        }
    }

    /// Resolves when this stay is over.
    pub(super) async fn left(&self, member: Member) {
        let mut place = self.place.subscribe();
        // Its sender is this.
        let _ = place.wait_for(|place| *place != Where::At(member)).await;
    }

    /// The member failed: another one is looked for.
    pub(super) fn leave(&self, member: Member) {
        self.place.send_if_modified(|place| {
            let stays = *place == Where::At(member);
            if stays {
                *place = Where::Looking;
            }
            stays
        });
    }

    /// Why this client is over.
    pub(super) fn ending(&self) -> Error {
        match self.trouble() {
            Some(Error::Removed) => Error::Removed,
            _ => Error::ShutDown,
        }
    }

    /// Ends everything that waits, for good.
    pub(super) fn close(&self) {
        self.place.send_replace(Where::Ended);
        self.board.close();
        let removed = matches!(self.ending(), Error::Removed);
        self.submitter.close(move || if removed { Error::Removed } else { Error::ShutDown });
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = *self.place.borrow();
        f.debug_struct("Shared").field("place", &place).field("seen", &self.seen()).finish_non_exhaustive()
    }
}
