//! The types with which paxakos is used, and the stubs that stand for state inside it.
//!
//! paxakos counts its own rounds from 0 in every life of a keeper ([`Base`] maps them to global rounds, D7) and keeps no
//! state of ours: its `State` is a stub, and applying an entry calls the [`Replica`](super::replica::Replica) in its context.

use std::num::NonZeroUsize;
use std::sync::Arc;

use paxakos::state::Frozen;
use serde::{Deserialize, Serialize};

use super::id::{Epoch, Round};
use super::replica::{Replica, ReplicaFailed};
use crate::command::{Entry, EntryId};

/// How many rounds may be open at once: paxakos' concurrency. Measured: more gains nothing, batching does.
pub(crate) const WINDOW: usize = 16;
const WINDOW_NON_ZERO: NonZeroUsize = NonZeroUsize::new(WINDOW).expect("the window is not empty");

/// The round of this node that paxakos calls 0 in this life of the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base(pub(crate) Round);

impl Base {
    /// paxakos' number of a global round; `None` at or below the base, which paxakos must never see (D7).
    pub(crate) fn local(self, round: Round) -> Option<u64> {
        round.checked_sub(self.0).filter(|&local| local > 0)
    }

    pub(crate) fn global(self, local: u64) -> Round {
        self.0.saturating_add(local)
    }
}

/// Marker: the set of types that paxakos is used with.
#[derive(Debug)]
pub(crate) struct Types;

impl paxakos::Invocation for Types {
    type RoundNum = u64;
    type CoordNum = u64;
    type State = Stub;
    type Yea = ();
    type Nay = std::convert::Infallible;
    type Abstain = std::convert::Infallible;
    type Ejection = ReplicaFailed;
    type CommunicationError = super::communicator::Unanswered;
}

/// A member of the epoch by its position. A cluster of one is shown as two nodes: the voter (0) and its disk (1) (D3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position(pub(crate) usize);

impl paxakos::NodeInfo for Position {
    type Id = Position;

    fn id(&self) -> Position {
        *self
    }
}

impl paxakos::LogEntry for Entry {
    type Id = EntryId;

    fn id(&self) -> EntryId {
        self.id
    }
}

/// Where the chosen entries of a keeper go: the replica, as those of one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Applier {
    pub(crate) replica: Arc<Replica>,
    pub(crate) epoch: Epoch,
    /// The round that this keeper applies next.
    pub(crate) next: Round,
}

/// What paxakos takes for the state: only how many nodes there are. The real one is the replica in the context.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stub {
    nodes: usize,
}

impl Stub {
    pub(crate) fn new(voters: usize) -> Self {
        // D3: the disk of a single voter is its second node.
        Stub { nodes: voters.max(2) }
    }
}

impl paxakos::State for Stub {
    type Frozen = FrozenStub;
    type LogEntry = Entry;
    type Context = Applier;
    type Outcome = ();
    type Effect = ();
    type Error = ReplicaFailed;
    type Node = Position;

    fn apply(&mut self, entry: &Entry, applier: &mut Applier) -> Result<((), ()), ReplicaFailed> {
        applier.replica.apply_next(applier.epoch, applier.next, entry)?;
        applier.next += 1;
        Ok(((), ()))
    }

    fn concurrency(_this: Option<&Self>) -> Option<NonZeroUsize> {
        Some(WINDOW_NON_ZERO)
    }

    fn cluster_at(&self, _round_offset: NonZeroUsize) -> Vec<Position> {
        (0..self.nodes).map(Position).collect()
    }

    fn freeze(&self, _applier: &mut Applier) -> FrozenStub {
        FrozenStub(self.clone())
    }
}

/// [`Stub`] in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FrozenStub(pub(crate) Stub);

impl Frozen<Stub> for FrozenStub {
    fn thaw(&self, _applier: &mut Applier) -> Stub {
        self.0.clone()
    }
}

/// paxakos' memory of applied entries: none. Older rounds are answered from the acceptor log before they reach it.
#[derive(Debug)]
pub(crate) struct NoBuffer;

impl paxakos::buffer::Buffer for NoBuffer {
    type RoundNum = u64;
    type CoordNum = u64;
    type Entry = Entry;
    type Error = std::convert::Infallible;

    fn insert(&mut self, _round: u64, _ballot: u64, _entry: Arc<Entry>) {}

    fn get(&self, _round: u64) -> Result<Option<(u64, Arc<Entry>)>, std::convert::Infallible> {
        Ok(None)
    }
}

/// Runs the keeper's task on the node's own local task set: several times the speed of a thread of its own.
#[derive(Debug)]
pub(crate) struct LocalExecutor(pub(crate) tokio::sync::oneshot::Sender<tokio::task::JoinHandle<()>>);

impl<V: 'static, B: 'static> paxakos::executor::Executor<Types, V, B> for LocalExecutor {
    type Error = std::convert::Infallible;

    fn execute<F: Future<Output = ()> + 'static>(
        self,
        task: paxakos::node::Task<Types, V, B, F>,
    ) -> Result<(), Self::Error> {
        let _ = self.0.send(tokio::task::spawn_local(task));
        Ok(())
    }
}
