//! An in-memory network with faults on demand, behind the same `Network` handle as libp2p.
//!
//! One `Fabric` is one network; `join` puts a peer on it, everyone connected to everyone. Messages are
//! delivered by one task a peer, through the same bounded queue as over sockets. Order is kept for each
//! (sender, channel), but for requests that are told to overtake. Losses, delays, doubles and overtaking are drawn from the
//! seed. Lock order: there is one lock.

mod port;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::network::{
    Answer, Channel, Door, EVENT_QUEUE_MAX, Faults, Guests, Members, Network, NetworkEvent, NetworkLimits, Reason,
    Refusals, RequestError, RequestResult, Separation, Transport,
};
use port::{Parcel, Port};

/// One message on its way, as a filter sees it.
#[derive(Debug)]
pub(crate) struct Passing<'a> {
    pub(crate) from: PeerId,
    pub(crate) to: PeerId,
    pub(crate) channel: Channel,
    /// `false`: a request. `true`: the answer to one.
    pub(crate) answer: bool,
    pub(crate) payload: &'a [u8],
}

/// Says of each message whether it comes through. Called under the fabric's lock: it must not call back.
pub(crate) type Filter = Box<dyn FnMut(&Passing<'_>) -> bool + Send>;

/// An in-memory network. Cheap to clone; clones are the same network.
#[derive(Clone)]
pub(crate) struct Fabric {
    state: Arc<Mutex<State>>,
}

struct State {
    ports: HashMap<PeerId, Port>,
    faults: Faults,
    filter: Option<Filter>,
    lost_per_thousand: u64,
    doubled_per_thousand: u64,
    overtaking_per_thousand: u64,
    limits: NetworkLimits,
    /// Requests without an answer, those that were lost too: until their requester has given up.
    pending: HashMap<u64, Pending>,
    next_id: u64,
    /// The size of `pending` at which given-up requests are cleared out.
    sweep_at: usize,
}

struct Pending {
    from: PeerId,
    to: PeerId,
    channel: Channel,
    requester: oneshot::Sender<RequestResult>,
}

const SWEEP_MIN: usize = 1024;

impl std::fmt::Debug for Fabric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fabric").finish_non_exhaustive()
    }
}

impl Fabric {
    /// A network without faults, whose losses and delays, once asked for, follow from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Fabric {
            state: Arc::new(Mutex::new(State {
                ports: HashMap::new(),
                faults: Faults::new(seed),
                filter: None,
                lost_per_thousand: 0,
                doubled_per_thousand: 0,
                overtaking_per_thousand: 0,
                limits: NetworkLimits::default(),
                pending: HashMap::new(),
                next_id: 0,
                sweep_at: SWEEP_MIN,
            })),
        }
    }

    /// Puts a peer on the network, or back on it after `cut`. Handles of its earlier life stay dead.
    /// Must be called within a tokio runtime, which will run the delivery.
    pub(crate) fn join(&self, peer: PeerId) -> (Network, mpsc::Receiver<NetworkEvent>) {
        let (events, receiver) = mpsc::channel(EVENT_QUEUE_MAX);
        let mut state = self.lock();
        state.forget(peer);
        state.next_id += 1;
        let incarnation = state.next_id;
        let door = Arc::new(Door::default());
        state.ports.insert(peer, Port::open(incarnation, events, Arc::clone(&door), self.clone()));
        state.announce();
        drop(state);
        let link = FabricLink { fabric: self.clone(), peer, incarnation, door, refusals: Refusals::default() };
        (Network::new(peer, Arc::new(link)), receiver)
    }

    /// As [`Faults::partition`]; what is under way across the border is lost.
    pub(crate) fn partition(&self, groups: &[&[PeerId]]) {
        let mut state = self.lock();
        state.faults.partition(groups);
        state.announce();
    }

    /// How partitions look from now on, a present one too.
    pub(crate) fn set_separation(&self, separation: Separation) {
        let mut state = self.lock();
        state.faults.set_separation(separation);
        state.announce();
    }

    /// Ends the partition and unblocks all links. What was lost stays lost.
    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        state.faults.heal();
        state.announce();
    }

    /// Takes a peer off the network as its crash would: all that is pending to and from it ends in
    /// `ConnectionLost`, the others see `Disconnected`, its handles get `NotConnected` for ever.
    pub(crate) fn cut(&self, peer: PeerId) {
        let mut state = self.lock();
        state.forget(peer);
        state.announce();
    }

    /// Drops silently all that `from` sends to `to`, answers included, until `heal`.
    pub(crate) fn block(&self, from: PeerId, to: PeerId) {
        self.lock().faults.block(from, to);
    }

    /// Delays each request by a duration drawn from the range; order within a channel stays.
    pub(crate) fn set_delay(&self, delay: Range<Duration>) {
        self.lock().faults.set_delay(delay);
    }

    /// Loses this many of a thousand requests, and of a thousand answers.
    pub(crate) fn set_loss(&self, per_thousand: u64) {
        self.lock().lost_per_thousand = per_thousand;
    }

    /// Delivers this many of a thousand requests twice; the first answer counts.
    pub(crate) fn set_doubles(&self, per_thousand: u64) {
        self.lock().doubled_per_thousand = per_thousand;
    }

    /// Lets this many of a thousand requests overtake those before them, where delays leave room for it.
    pub(crate) fn set_overtaking(&self, per_thousand: u64) {
        self.lock().overtaking_per_thousand = per_thousand;
    }

    /// Asks `filter` of every message; `None` lets all through.
    pub(crate) fn set_filter(&self, filter: Option<Filter>) {
        self.lock().filter = filter;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request that was under way is still to be delivered.
    fn still_carries(&self, id: u64) -> bool {
        let state = self.lock();
        state.pending.get(&id).is_some_and(|pending| state.faults.together(pending.from, pending.to))
    }

    /// Called by the reply of request `id`.
    fn answer(&self, id: u64, answer: Answer) {
        let mut state = self.lock();
        let Some(Pending { from, to, channel, .. }) = state.pending.get(&id) else {
            return;
        };
        let (from, to, channel) = (*from, *to, *channel);
        let payload: &[u8] = match &answer {
            Answer::Response(payload) => payload,
            Answer::Refused(_) => &[],
        };
        // An answer that is lost leaves the request pending, so that its requester times out.
        if !state.carries(&Passing { from: to, to: from, channel, answer: true, payload }) {
            return;
        }
        let bytes_max = state.limits.payload_bytes_max(channel);
        let result = match answer {
            Answer::Response(payload) if payload.len() > bytes_max => {
                Err(RequestError::Refused("the answer is larger than the channel carries".into()))
            }
            Answer::Response(payload) => Ok(payload),
            Answer::Refused(reason) => Err(RequestError::Refused(reason)),
        };
        if let Some(pending) = state.pending.remove(&id) {
            // The requester may have given up.
            let _ = pending.requester.send(result);
        }
    }
}

impl State {
    /// Whether connections between the two are open.
    fn connected(&self, a: PeerId, b: PeerId) -> bool {
        a != b && self.ports.contains_key(&a) && self.ports.contains_key(&b) && self.faults.keeps_open(a, b)
    }

    /// Whether this message comes through.
    fn carries(&mut self, message: &Passing<'_>) -> bool {
        self.faults.passes(message.from, message.to)
            && !self.faults.happens(self.lost_per_thousand)
            && self.filter.as_mut().is_none_or(|filter| filter(message))
    }

    /// The peer's life ends: dropping the senders of its requests is what `ConnectionLost` is.
    fn forget(&mut self, peer: PeerId) {
        self.ports.remove(&peer);
        self.pending.retain(|_, pending| pending.from != peer && pending.to != peer);
        self.announce();
    }

    /// Tells every port who is connected to it now, and ends what was pending on closed connections.
    fn announce(&mut self) {
        let peers: Vec<PeerId> = self.ports.keys().copied().collect();
        for peer in &peers {
            let others = peers.iter().copied().filter(|other| self.connected(*peer, *other)).collect();
            self.ports[peer].announce(others);
        }
        let faults = &self.faults;
        self.pending.retain(|_, pending| faults.keeps_open(pending.from, pending.to));
    }

    fn sweep(&mut self) {
        if self.pending.len() >= self.sweep_at {
            self.pending.retain(|_, pending| !pending.requester.is_closed());
            self.sweep_at = SWEEP_MIN.max(2 * self.pending.len());
        }
    }
}

/// What a `Network` over the fabric holds: the peer's present life.
struct FabricLink {
    fabric: Fabric,
    peer: PeerId,
    incarnation: u64,
    door: Arc<Door>,
    refusals: Refusals,
}

impl Transport for FabricLink {
    fn send(
        &self,
        to: PeerId,
        channel: Channel,
        payload: Bytes,
        _deadline: Instant,
    ) -> Result<oneshot::Receiver<RequestResult>, RequestError> {
        let mut state = self.fabric.lock();
        let bytes_max = state.limits.payload_bytes_max(channel);
        if payload.len() > bytes_max {
            return Err(RequestError::TooLarge { bytes: payload.len(), bytes_max });
        }
        let alive = state.ports.get(&self.peer).is_some_and(|port| port.incarnation == self.incarnation);
        if !alive || !state.connected(self.peer, to) {
            return Err(RequestError::NotConnected);
        }
        state.sweep();
        let through = state.carries(&Passing { from: self.peer, to, channel, answer: false, payload: &payload });
        state.next_id += 1;
        let id = state.next_id;
        let (requester, response) = oneshot::channel();
        if through {
            let (doubled, overtaking) = (state.doubled_per_thousand, state.overtaking_per_thousand);
            let copies = 1 + usize::from(state.faults.happens(doubled));
            for _ in 0..copies {
                let due = Instant::now() + state.faults.draw_delay();
                let overtakes = state.faults.happens(overtaking);
                let parcel = Parcel { id, from: self.peer, channel, payload: payload.clone(), due };
                let port = state.ports.get_mut(&to).ok_or(RequestError::NotConnected)?;
                port.deliver(parcel, overtakes)?;
            }
        }
        state.pending.insert(id, Pending { from: self.peer, to, channel, requester });
        Ok(response)
    }

    fn listen_addresses(&self) -> Vec<Multiaddr> {
        Vec::new()
    }

    fn is_connected(&self, peer: PeerId) -> bool {
        self.fabric.lock().connected(self.peer, peer)
    }

    fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn blame(&self, _peer: &PeerId, reason: Reason) {
        self.refusals.count(reason);
    }

    fn open_door(&self, desk: mpsc::Sender<NetworkEvent>) {
        self.door.open(desk);
    }
    /// Everyone hears everyone here: who is let in is the sockets' affair.
    fn set_members(&self, _members: Members, _guests: &Guests) {}
}

#[cfg(test)]
mod tests;
