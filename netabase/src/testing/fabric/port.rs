//! One peer's place on the fabric: the queue of what is on its way to it, and the task that delivers.
//!
//! The fabric calls `deliver` and `announce` under its lock, so neither waits for anything.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeSet, BinaryHeap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::Fabric;
use crate::network::{Answer, Channel, Door, EVENT_QUEUE_MAX, Inbound, NetworkEvent, Reply, ReplyPath, RequestError};

/// A request on its way.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) id: u64,
    pub(super) from: PeerId,
    pub(super) channel: Channel,
    pub(super) payload: Bytes,
    pub(super) due: Instant,
}

pub(super) struct Port {
    pub(super) incarnation: u64,
    parcels: mpsc::Sender<Parcel>,
    connected: Arc<Connected>,
    /// When the last parcel of each (sender, channel) is due: the next is not due earlier.
    last_due: HashMap<(PeerId, Channel), Instant>,
}

/// Who is connected to the port; its task tells the node of the difference to what it told before.
#[derive(Default)]
struct Connected {
    peers: Mutex<BTreeSet<PeerId>>,
    changed: Notify,
}

impl Port {
    pub(super) fn open(incarnation: u64, events: mpsc::Sender<NetworkEvent>, door: Arc<Door>, fabric: Fabric) -> Self {
        let (parcels, queue) = mpsc::channel(EVENT_QUEUE_MAX);
        let connected = Arc::new(Connected::default());
        let delivery = Delivery {
            queue,
            events,
            door,
            connected: connected.clone(),
            fabric,
            announced: BTreeSet::new(),
            under_way: BinaryHeap::new(),
        };
        tokio::spawn(delivery.run());
        Port { incarnation, parcels, connected, last_due: HashMap::new() }
    }

    pub(super) fn deliver(&mut self, mut parcel: Parcel, overtakes: bool) -> Result<(), RequestError> {
        let last = self.last_due.entry((parcel.from, parcel.channel)).or_insert(parcel.due);
        *last = parcel.due.max(*last);
        if !overtakes {
            parcel.due = *last;
        }
        self.parcels.try_send(parcel).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => RequestError::ConnectionLost,
        })
    }

    pub(super) fn announce(&self, peers: BTreeSet<PeerId>) {
        *self.connected.peers.lock().unwrap_or_else(PoisonError::into_inner) = peers;
        self.connected.changed.notify_one();
    }
}

/// Runs until the port is closed or the node no longer receives.
struct Delivery {
    queue: mpsc::Receiver<Parcel>,
    events: mpsc::Sender<NetworkEvent>,
    door: Arc<Door>,
    connected: Arc<Connected>,
    fabric: Fabric,
    announced: BTreeSet<PeerId>,
    under_way: BinaryHeap<Reverse<ByDue>>,
}

impl Delivery {
    async fn run(mut self) {
        loop {
            if self.tell().await.is_err() || self.hand_over().await.is_err() {
                return;
            }
            let next_due = self.under_way.peek().map(|Reverse(ByDue(parcel))| parcel.due);
            let room = self.under_way.len() < EVENT_QUEUE_MAX;
            tokio::select! {
                () = self.connected.changed.notified() => {}
                parcel = self.queue.recv(), if room => match parcel {
                    Some(parcel) => self.under_way.push(Reverse(ByDue(parcel))),
                    None => return,
                },
                () = tokio::time::sleep_until(next_due.unwrap_or_else(Instant::now)), if next_due.is_some() => {}
            }
        }
    }

    /// Tells the node who came and went since it was last told.
    async fn tell(&mut self) -> Result<(), Closed> {
        let now = self.connected.peers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for peer in self.announced.difference(&now) {
            self.events.send(NetworkEvent::Disconnected(*peer)).await.map_err(|_| Closed)?;
        }
        for peer in now.difference(&self.announced) {
            self.events.send(NetworkEvent::Connected(*peer)).await.map_err(|_| Closed)?;
        }
        self.announced = now;
        Ok(())
    }

    /// Hands the parcels that are due to the node.
    async fn hand_over(&mut self) -> Result<(), Closed> {
        while self.under_way.peek().is_some_and(|Reverse(ByDue(parcel))| parcel.due <= Instant::now()) {
            let Some(Reverse(ByDue(Parcel { id, from, channel, payload, .. }))) = self.under_way.pop() else {
                break;
            };
            // Cut or separated since it was sent: it is not there any more to be delivered.
            if !self.fabric.still_carries(id) {
                continue;
            }
            let reply = Reply::new(Return { id, fabric: self.fabric.clone() });
            let request = NetworkEvent::Request(Inbound { from, channel, payload, reply });
            let queue = self.door.choose(channel, &self.events);
            if channel == Channel::Client {
                // Over sockets each channel waits for itself; here clients must not hold the others up.
                let _ = queue.try_send(request);
            } else {
                queue.send(request).await.map_err(|_| Closed)?;
            }
        }
        Ok(())
    }
}

struct Closed;

/// The way back of one request.
struct Return {
    id: u64,
    fabric: Fabric,
}

impl ReplyPath for Return {
    fn leave(self: Box<Self>, answer: Answer) {
        self.fabric.answer(self.id, answer);
    }
}

/// Ordered by when it is due, then by id, which is the order of sending.
struct ByDue(Parcel);

impl ByDue {
    fn rank(&self) -> (Instant, u64) {
        (self.0.due, self.0.id)
    }
}
impl PartialEq for ByDue {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}
impl Eq for ByDue {}
impl PartialOrd for ByDue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ByDue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}
