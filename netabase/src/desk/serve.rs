//! The desk's thread: takes requests off their queue, serves each in a task of its own, and forgets what is over.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::LocalSet;

use super::lease::Leases;
use super::message::{Confirmed, Hello, Read, Request, Step, Trouble, Welcome};
use super::read::stopping;
use super::transact::Writes;
use super::{REQUESTS_MAX, Right, UNDER_WAY_MAX};
use crate::consensus::{Addresses, ClusterId, ReadQueue, Replica, Round, Standing, Submitter, member_id};
use crate::error::{Error, Result};
use crate::event::Hub;
use crate::machine::Rule;
use crate::network::{Inbound, Network, NetworkEvent, Reason, Reply};
use crate::schema::{Catalog, codec};
use crate::storage::{View, Views};

/// How long a client may have to wait until the member has applied what the client has seen.
const BEHIND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often leases are looked after.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// Counts and hashes at a time: each reads as many rows as there are.
const LONG_READS_MAX: usize = 2;

/// What a desk works with.
pub(crate) struct Parts {
    pub(crate) cluster: ClusterId,
    pub(crate) catalog: Catalog,
    pub(crate) record_bytes_max: usize,
    /// Where the members are, for clients to turn to.
    pub(crate) addresses: Addresses,
    pub(crate) network: Network,
    pub(crate) views: Views,
    pub(crate) replica: Arc<Replica>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) submitter: Arc<Submitter>,
    pub(crate) reads: ReadQueue,
    pub(crate) standing: watch::Receiver<Standing>,
}

/// A running desk. It ends when it is closed or dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    _open: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Desk {
    pub(crate) fn open(parts: Parts, requests: mpsc::Receiver<NetworkEvent>) -> Result<Desk> {
        let (open, closed) = oneshot::channel();
        let failed = |source| Error::storage("the thread that serves clients cannot be started", source);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let thread = std::thread::Builder::new().name("netabase-desk".into()).spawn(move || {
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, serve(Rc::new(Counter::new(parts)), requests, closed));
            drop(tasks);
            runtime.shutdown_background();
        });
        Ok(Desk { _open: open, thread: thread.map_err(failed)? })
    }

    /// Ends it, and waits until it has let go of the store.
    pub(crate) fn close(self) {
        drop(self._open);
        // A panic there was reported where it happened.
        let _ = self.thread.join();
    }
}

async fn serve(counter: Rc<Counter>, mut requests: mpsc::Receiver<NetworkEvent>, mut closed: oneshot::Receiver<()>) {
    let mut expire = tokio::time::interval(EXPIRE_EVERY);
    loop {
        tokio::select! {
            biased;
            _ = &mut closed => return,
            request = requests.recv() => match request {
                Some(NetworkEvent::Request(request)) => counter.begin(request),
                Some(_) => {}
                None => return,
            },
            _ = expire.tick() => counter.leases.borrow_mut().expire(Instant::now()),
        }
    }
}

/// Where clients are served: everything is on the desk's thread.
pub(super) struct Counter {
    cluster: ClusterId,
    pub(super) catalog: Catalog,
    pub(super) rule: Rule,
    pub(super) record_bytes_max: usize,
    addresses: Addresses,
    network: Network,
    pub(super) views: Views,
    pub(super) replica: Arc<Replica>,
    pub(super) hub: Arc<Hub>,
    pub(super) submitter: Arc<Submitter>,
    reads: ReadQueue,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) leases: RefCell<Leases>,
    pub(super) long_reads: Semaphore,
    /// Of each client that has any: requests without an answer, and commands among them.
    under_way: Rc<RefCell<HashMap<PeerId, Load>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    requests: usize,
    commands: usize,
}

impl Counter {
    fn new(parts: Parts) -> Self {
        let Parts {
            cluster,
            catalog,
            record_bytes_max,
            addresses,
            network,
            views,
            replica,
            hub,
            submitter,
            reads,
            standing,
        } = parts;
        Counter {
            cluster,
            rule: Rule::new(&catalog),
            catalog,
            record_bytes_max,
            addresses,
            network,
            views,
            replica,
            hub,
            submitter,
            reads,
            standing,
            leases: RefCell::default(),
            long_reads: Semaphore::new(LONG_READS_MAX),
            under_way: Rc::default(),
        }
    }

    /// Serves a request beside all others.
    fn begin(self: &Rc<Self>, inbound: Inbound) {
        let Inbound { from, payload, reply, .. } = inbound;
        if self.standing.borrow().rebuilding {
            reply.refuse("this node fetches its records anew");
            return;
        }
        let (roster, id) = (self.replica.roster(), member_id(&from));
        if roster.has_left(&id) {
            send::<()>(reply, Err(Trouble::Removed));
            return;
        }
        let Some(right) = roster.member(&id).and_then(|member| Right::of(member.role)) else {
            reply.refuse("not a client of this cluster");
            return;
        };
        let Ok(request) = codec::decode::<Request>(&payload) else {
            self.network.blame(&from, Reason::Malformed);
            reply.refuse("not a request");
            return;
        };
        let Some(under_way) = self.load(from, Load { requests: 1, commands: 0 }) else {
            self.network.refusals().count(Reason::TooFast);
            reply.refuse("too many requests at a time");
            return;
        };
        let counter = Rc::clone(self);
        tokio::task::spawn_local(async move {
            counter.answer(from, right, request, reply).await;
            drop(under_way);
        });
    }

    async fn answer(&self, from: PeerId, right: Right, request: Request, reply: Reply) {
        // Rows are read for who has taken those that it asked for before; one at a time, since all is on one thread.
        reply.room().await;
        match request {
            Request::Hello(hello) => send(reply, self.hello(right, &hello)),
            Request::Read { seen, view, read } => match read {
                Read::Get { record, keys } => send(reply, self.get(from, seen, view, record, &keys).await),
                Read::Page { plan } => send(reply, self.page(from, seen, view, plan).await),
                Read::Count { plan } => send(reply, self.count(seen, plan).await),
                Read::Hash => send(reply, self.hash(seen).await),
            },
            Request::Confirm => send(reply, self.confirm().await),
            Request::Submit { commands } => send(reply, self.submit(from, right, commands).await),
            Request::Watch { seen, plan, start, wait_ms } => {
                send(reply, self.watch(seen, plan, start, Duration::from_millis(wait_ms.into())).await);
            }
            Request::Transact { seen, lease, first, writes, step } => {
                let writes = Writes { seen, lease, first, bytes: writes };
                match step {
                    Step::Get { record, key } => send(reply, self.transact_get(from, writes, record, key).await),
                    Step::Page { plan } => send(reply, self.transact_page(from, writes, plan).await),
                    Step::Conclude => send(reply, self.conclude(from, writes).await),
                }
            }
            Request::Release { leases } => {
                for id in leases {
                    self.leases.borrow_mut().take(from, id);
                }
                send(reply, Ok(()));
            }
        }
    }

    fn hello(&self, right: Right, hello: &Hello) -> Result<Welcome, Trouble> {
        if hello.cluster != self.cluster {
            return Err(Trouble::OtherCluster { cluster: self.cluster });
        }
        let ours = self.catalog.summary();
        let versions = self.replica.versions();
        if let Some((member, client)) = ours.difference(&hello.schema) {
            return Err(Trouble::SchemaMismatch { member, client });
        }
        // A client may know fewer record types, but of those that it knows, all that is stored.
        if let Some((member, client)) = ours.only_of(&hello.schema).lacking(&hello.schema, &versions.stored()) {
            return Err(Trouble::SchemaMismatch { member, client });
        }
        if let Some(name) = hello.schema.missing_in(&ours) {
            let (member, client) = (format!("no `{name}`"), format!("with `{name}`"));
            return Err(Trouble::SchemaMismatch { member, client });
        }
        let standing = self.standing.borrow().clone();
        Ok(Welcome {
            right,
            record_bytes_max: self.record_bytes_max as u64,
            members: self.addresses.nodes_from(&self.network, &self.replica.roster()),
            epoch: standing.epoch.0,
            voters: standing.voters.iter().copied().collect(),
            leader: standing.leader,
            applied: self.replica.applied(),
            durable: standing.durable,
            active: versions.all_active(),
            known: standing.known,
        })
    }

    async fn confirm(&self) -> Result<Confirmed, Trouble> {
        self.reads.wait().await.ok_or_else(stopping)??;
        Ok(Confirmed { applied: self.views.view().applied() })
    }

    /// A view that shows what the client has seen.
    pub(super) async fn view_since(&self, seen: Round) -> Result<View, Trouble> {
        let view = self.views.view();
        if view.applied() >= seen {
            return Ok(view);
        }
        drop(view);
        let mut applied = self.replica.follow();
        let waited = tokio::time::timeout(BEHIND_TIMEOUT, applied.wait_for(|applied| *applied >= seen)).await;
        if matches!(waited, Ok(Ok(_))) { Ok(self.views.view()) } else { Err(Trouble::Behind) }
    }

    /// Notes that commands of a client are under way, as long as what is returned is kept.
    pub(super) fn begin_commands(&self, client: PeerId, commands: usize) -> Result<UnderWay, Trouble> {
        let overloaded = Trouble::Overloaded { limit: UNDER_WAY_MAX as u64 };
        self.load(client, Load { requests: 0, commands }).ok_or(overloaded)
    }

    fn load(&self, client: PeerId, load: Load) -> Option<UnderWay> {
        let mut under_way = self.under_way.borrow_mut();
        let now = under_way.get(&client).copied().unwrap_or_default();
        let sum = Load { requests: now.requests + load.requests, commands: now.commands.saturating_add(load.commands) };
        if sum.requests > REQUESTS_MAX || sum.commands > UNDER_WAY_MAX {
            return None;
        }
        under_way.insert(client, sum);
        Some(UnderWay { of: Rc::clone(&self.under_way), client, load })
    }
}

/// A part of what a client has under way.
pub(super) struct UnderWay {
    of: Rc<RefCell<HashMap<PeerId, Load>>>,
    client: PeerId,
    load: Load,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut of = self.of.borrow_mut();
        if let Some(now) = of.get_mut(&self.client) {
            now.requests -= self.load.requests;
            now.commands -= self.load.commands;
            if *now == Load::default() {
                of.remove(&self.client);
            }
        }
    }
}

fn send<T: Serialize>(reply: Reply, answer: Result<T, Trouble>) {
    match codec::encode(&answer) {
        Ok(bytes) => reply.send(bytes.into()),
        Err(error) => tracing::warn!(%error, "an answer to a client cannot be encoded"),
    }
}
