//! The node's own thread: everything that decides runs there, one task set, one runtime.
//!
//! Must hold: whoever holds the node can stop it; when the last one lets go, it stops by itself, in order; a node that
//! failed keeps its reason.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use super::alone::{self, Recovery};
use super::assemble::{Assembly, Built};
use super::news::{self, Event};
use super::role::Role;
use super::space;
use crate::consensus::{Addresses, ClusterId, Control, ReadQueue, Replica, Standing, Submitter, member_id};
use crate::desk::{self, Desk};
use crate::error::{Error, Result};
use crate::event::{Board, Hub};
use crate::machine::Rule;
use crate::network::{Identity, Network};
use crate::schema::Catalog;
use crate::storage::{Patience, View, Views};

/// How long a node that is alone may take to lead: one commit of its log.
const LEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node that joins may get no farther.
const ARRIVE_PATIENCE: Duration = Duration::from_secs(30);
/// How long whoever has a file open may take to let go of it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests to the member that may wait.
const CONTROL_MAX: usize = 16;

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) peer_id: PeerId,
    pub(crate) identity: Identity,
    pub(crate) cluster: ClusterId,
    pub(crate) recovery: Option<Recovery>,
    pub(crate) submitter: Arc<Submitter>,
    reads: ReadQueue,
    /// Tells watchers of changes; closed when the node's thread ends.
    pub(crate) hub: Arc<Hub>,
    /// Where events are put up; closed when the node's thread ends.
    pub(crate) board: Arc<Board<Event>>,
    /// What holds the files open; gone once the node is shut down.
    files: RwLock<Option<Files>>,
    /// Tells when the store's files are closed.
    patience: Arc<Patience>,
    pub(crate) network: Network,
    pub(crate) record_bytes_max: usize,
    /// What a write does to rows: transactions see by it what they have written.
    pub(crate) rule: Rule,
    pub(crate) catalog: Catalog,
    standing: watch::Receiver<Standing>,
    pub(super) control: mpsc::Sender<Control>,
    pub(super) addresses: Addresses,
    pub(super) request_timeout: Duration,
    failure: Arc<OnceLock<Failure>>,
    /// Closed when the node has ended and its failure, if any, is known.
    ended: watch::Receiver<()>,
    #[cfg_attr(not(any(test, feature = "testing")), expect(dead_code, reason = "only tests crash a node"))]
    killed: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Node {
    /// Starts a node and waits until it has listened and replayed; alone, until it leads, with others not until it finds them.
    pub(crate) async fn start(assembly: Assembly) -> Result<Arc<Node>> {
        let (ready, started) = oneshot::channel();
        let (control, asked) = mpsc::channel(CONTROL_MAX);
        let (killed, kill) = watch::channel(false);
        let failure = Arc::new(OnceLock::new());
        let peer_id = assembly.identity.peer_id();
        let (identity, request_timeout) = (assembly.identity.clone(), assembly.tuning.request_timeout);
        let patience = assembly.volume.patience();
        let record_bytes_max = assembly.limits.record_bytes();
        let catalog = assembly.catalog.clone();
        let reason = Arc::clone(&failure);
        let (running, ended) = watch::channel(());
        let board = Board::new();
        let ending = Ending(Arc::clone(&board));
        let thread = std::thread::Builder::new()
            .name("netabase-node".into())
            .spawn(move || {
                run(assembly, ready, asked, kill, &ending.0, &reason);
                drop(ending);
                drop(running);
            })
            .map_err(|source| Error::storage("the node's thread cannot be started", source))?;
        let Ready { submitter, reads, replica, views, hub, network, standing, cluster, addresses, recovery } =
            started.await.map_err(|_| Error::ShutDown)??;
        let node = Arc::new(Node {
            peer_id,
            identity,
            cluster,
            recovery,
            submitter,
            reads,
            hub,
            board,
            files: RwLock::new(Some(Files { replica, views })),
            patience,
            network,
            record_bytes_max,
            rule: Rule::new(&catalog),
            catalog,
            standing,
            control,
            addresses,
            request_timeout,
            failure,
            ended,
            killed,
            thread: Mutex::new(Some(thread)),
        });
        let me = member_id(&peer_id);
        if matches!(&node.replica()?.roster().voters[..], [voter] if voter.id == me) {
            node.led().await?;
            node.upgraded().await?;
        }
        Ok(node)
    }

    /// Alone, a node shows what it acknowledged only once it leads: until then some of it is accepted, not chosen.
    async fn led(&self) -> Result<()> {
        let mut standing = self.follow();
        let waited = tokio::time::timeout(LEAD_TIMEOUT, standing.wait_for(|standing| standing.leads)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(self.failure().unwrap_or(Error::ShutDown)),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// The only voter writes what its own program writes, unless another member with a copy has to learn it first.
    async fn upgraded(&self) -> Result<()> {
        let replica = self.replica()?;
        let mut applied = replica.follow();
        let (me, newest) = (member_id(&self.peer_id), self.catalog.newest());
        let is_upgraded = || {
            let (roster, versions) = (replica.roster(), replica.versions());
            let is_said = roster.member(&me).is_none_or(|known| known.reads == newest);
            is_said && newest.keys().all(|record| roster.readable(*record) <= versions.active(*record))
        };
        let waited = tokio::time::timeout(LEAD_TIMEOUT, applied.wait_for(|_| is_upgraded())).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(self.failure().unwrap_or(Error::ShutDown)),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// A node that was let in is ready once it has its own admission, and votes if it is to; as long as it gets on.
    pub(crate) async fn arrived(&self, role: Role) -> Result<()> {
        let me = member_id(&self.peer_id);
        let replica = self.replica()?;
        let mut standing = self.follow();
        loop {
            let told = |standing: &Standing| (standing.applied, standing.votes, standing.fetches_snapshot);
            let (applied, votes, fetches_snapshot) = told(&standing.borrow_and_update());
            let is_in = replica.roster().member(&me).is_some();
            if is_in && (role != Role::Voter || votes) {
                return Ok(());
            }
            let news = standing.wait_for(|standing| told(standing) != (applied, votes, fetches_snapshot));
            // A snapshot takes as long as it takes: whoever fetches it gives up when its peers do not answer.
            let patience = if fetches_snapshot { Duration::MAX } else { ARRIVE_PATIENCE };
            match tokio::time::timeout(patience, news).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Err(self.failure().unwrap_or(Error::ShutDown)),
                Err(_) => return Err(Error::NoQuorum),
            }
        }
    }

    /// Resolves when this node has fetched its records anew, as long as it gets on.
    pub(crate) async fn rebuilt(&self) -> Result<()> {
        let mut standing = self.follow();
        loop {
            let fetches = standing.borrow_and_update().fetches_snapshot;
            let news = standing.wait_for(|standing| !standing.rebuilding || standing.fetches_snapshot != fetches);
            match tokio::time::timeout(if fetches { Duration::MAX } else { ARRIVE_PATIENCE }, news).await {
                Ok(Ok(standing)) if !standing.rebuilding => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Err(self.failure().unwrap_or(Error::ShutDown)),
                Err(_) => return Err(Error::NoQuorum),
            }
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Follows what the member tells about itself.
    pub(crate) fn follow(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// The newest view of the records.
    pub(crate) fn view(&self) -> Result<View> {
        self.with_files(|files| files.views.view())
    }

    /// Resolves when what is read here from then on holds every write that was acknowledged anywhere before the call.
    pub(crate) async fn confirm_reads(&self) -> Result<()> {
        match self.reads.wait().await {
            Some(result) => result,
            None => {
                self.ended().await;
                Err(self.failure().unwrap_or(Error::ShutDown))
            }
        }
    }

    /// Whether its files are open, and it has not failed.
    pub(crate) fn is_open(&self) -> bool {
        self.with_files(|_| ()).is_ok() && self.failure.get().is_none()
    }

    /// Resolves when it has ended.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// The replicated state.
    pub(crate) fn replica(&self) -> Result<Arc<Replica>> {
        self.with_files(|files| Arc::clone(&files.replica))
    }

    fn with_files<T>(&self, look: impl FnOnce(&Files) -> T) -> Result<T> {
        // What is here is wrong; after any other failure it can still be read.
        if let Some(failure @ Failure::Quarantined { .. }) = self.failure.get() {
            return Err(failure.to_error());
        }
        self.files.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(look).ok_or(Error::ShutDown)
    }

    /// Why the node stopped by itself, once it has.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.get().map(Failure::to_error)
    }

    /// Makes everything durable and stops; resolves when the node's thread has ended and its files are closed, so that
    /// the directory can be used again.
    pub(crate) async fn shut_down(&self) -> Result<()> {
        let (done, stopped) = oneshot::channel();
        let _ = self.control.send(Control::ShutDown(done)).await;
        let _ = stopped.await;
        self.join().await;
        self.close_files().await;
        self.failure().map_or(Ok(()), Err)
    }

    /// Stops at once, as a crash does: nothing is made durable.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn kill(&self) {
        self.killed.send_replace(true);
        self.join().await;
    }

    async fn close_files(&self) {
        let files = self.files.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Files { replica, views }) = files {
            let closed = replica.log_closed();
            drop((replica, views));
            // A read that is under way in another task holds the file a moment longer than this waits.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
            // What was given up last is dropped on a thread of its own, and the store's file is open until then.
            let patience = Arc::clone(&self.patience);
            let _ = tokio::task::spawn_blocking(move || patience.wait_until_closed(CLOSE_TIMEOUT)).await;
        }
    }

    async fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Why a node stopped by itself.
#[derive(Clone, Debug)]
enum Failure {
    Storage(String),
    /// It left the cluster.
    Removed,
    /// A majority of the voters holds other records.
    Quarantined {
        round: u64,
    },
    /// The cluster writes what this program cannot read.
    SchemaMismatch {
        ours: String,
        theirs: String,
    },
}

impl Failure {
    fn of(error: &Error) -> Self {
        match error {
            Error::Removed => Failure::Removed,
            Error::Quarantined { round } => Failure::Quarantined { round: *round },
            Error::SchemaMismatch { ours, theirs } => {
                Failure::SchemaMismatch { ours: ours.clone(), theirs: theirs.clone() }
            }
            other => Failure::Storage(other.to_string()),
        }
    }

    fn to_error(&self) -> Error {
        match self {
            Failure::Storage(reason) => Error::Storage { reason: reason.clone(), source: None },
            Failure::Removed => Error::Removed,
            Failure::Quarantined { round } => Error::Quarantined { round: *round },
            Failure::SchemaMismatch { ours, theirs } => {
                Error::SchemaMismatch { ours: ours.clone(), theirs: theirs.clone() }
            }
        }
    }
}

/// What a running node reads from.
#[derive(Debug)]
struct Files {
    replica: Arc<Replica>,
    views: Views,
}

struct Ready {
    submitter: Arc<Submitter>,
    reads: ReadQueue,
    replica: Arc<Replica>,
    views: Views,
    hub: Arc<Hub>,
    network: Network,
    standing: watch::Receiver<Standing>,
    cluster: ClusterId,
    addresses: Addresses,
    recovery: Option<Recovery>,
}

/// Ends the events with the thread, however it ends.
struct Ending(Arc<Board<Event>>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Resolves when the node is to stop as in a crash; never when it is merely let go.
async fn killed(kill: &mut watch::Receiver<bool>) {
    if kill.wait_for(|killed| *killed).await.is_err() {
        std::future::pending().await
    }
}

fn run(
    assembly: Assembly,
    ready: oneshot::Sender<Result<Ready>>,
    asked: mpsc::Receiver<Control>,
    mut kill: watch::Receiver<bool>,
    board: &Arc<Board<Event>>,
    failure: &OnceLock<Failure>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let _ = ready.send(Err(Error::storage("the node's runtime cannot be started", source)));
            return;
        }
    };
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let catalog = assembly.catalog.clone();
        let record_bytes_max = assembly.limits.record_bytes();
        let opened = match alone::complete(&*assembly.volume, assembly.store).await {
            Ok(_) => assembly.open(),
            Err(error) => Err(error),
        };
        let built = match opened {
            Ok(opened) => assembly.member(opened).await,
            Err(error) => {
                // Whoever hears of it may try again, and then the directory must be free.
                drop(assembly);
                Err(error)
            }
        };
        let Built {
            member,
            inbox,
            events,
            standing,
            submitter,
            reads,
            replica,
            views,
            network,
            volume,
            cluster,
            addresses,
            recovery,
        } = match built {
            Ok(built) => built,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let stopping = Arc::clone(&submitter);
        tokio::task::spawn_local(space::watch(volume, Arc::clone(&submitter), Arc::clone(board)));
        tokio::task::spawn_local(news::tell(standing.clone(), network.clone(), Arc::clone(board)));
        let hub = Hub::new(views.clone(), replica.follow());
        let parts = desk::Parts {
            cluster,
            catalog,
            record_bytes_max,
            addresses: addresses.clone(),
            network: network.clone(),
            views: views.clone(),
            replica: Arc::clone(&replica),
            hub: Arc::clone(&hub),
            submitter: Arc::clone(&submitter),
            reads: reads.clone(),
            standing: standing.clone(),
        };
        let desk = match Desk::open(parts, network.serve_clients()) {
            Ok(desk) => desk,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let hub_to_tell = Arc::clone(&hub);
        let _ = ready.send(Ok(Ready {
            submitter,
            reads,
            replica,
            views,
            hub: hub_to_tell,
            network,
            standing,
            cluster,
            addresses,
            recovery,
        }));
        let failed = tokio::select! {
            ended = member.run(inbox, events, asked) => ended.err(),
            () = killed(&mut kill) => {
                stopping.close(|| Error::ShutDown);
                None
            }
        };
        if let Some(error) = &failed {
            let failure = failure.get_or_init(|| Failure::of(error)).clone();
            tracing::error!(%error, "the node stopped");
            stopping.close(move || failure.to_error());
            if let Error::Quarantined { round } = error {
                board.put_up(&Event::Quarantined { round: *round });
            }
            board.put_up(&Event::Failed { reason: error.to_string() });
        }
        // First those who read here for others.
        desk.close();
        hub.close(failed.as_ref());
    });
    drop(tasks);
    runtime.shutdown_background();
}
