//! Sockets with faults on demand, for tests: the system's TCP under noise and yamux as ever, and in between what holds the
//! bytes back that a partition would.
//!
//! ```text
//! swarm ─▶ noise, yamux ─▶ Street: a peer's name ─▶ its port of today ─▶ Line: each read, each write ─▶ TCP
//! ```
//! Must hold: peers find each other by name only, `/p2p/<peer>`, so that no address leads around the faults and a node is
//! found again on another port; what a cut direction holds back comes through in order when it is healed. The side that
//! dialled holds back both directions of a connection, for it alone knows before the handshake who is at the other end.

mod line;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent},
        upgrade::Version,
    },
    multiaddr::Protocol,
    noise, tcp, yamux,
};

use super::faults::{Faults, Separation};
use line::{Line, Wakers};

/// Any free port of this machine, which others do not reach.
const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

/// One network of sockets. Cheap to clone; clones are the same network.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    /// Where each peer listens now.
    listening: HashMap<PeerId, Multiaddr>,
    /// Peers that are cut off until they start anew.
    gone: BTreeSet<PeerId>,
    /// Who waits at a stream for something to change.
    waiting: Vec<Weak<Wakers>>,
}

/// What becomes of bytes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    Open,
    /// They wait.
    Held,
    /// The connection is no more.
    Closed,
}

impl Links {
    /// A network without faults, whose delays, once asked for, follow from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let state =
            State { faults: Faults::new(seed), listening: HashMap::new(), gone: BTreeSet::new(), waiting: Vec::new() };
        Links { state: Arc::new(Mutex::new(state)) }
    }

    /// What a peer listens on: any free port.
    pub(crate) fn listen() -> Vec<Multiaddr> {
        vec![LOOPBACK.parse().expect("it is an address")]
    }

    /// Where a peer is found, on whichever port it listens.
    pub(crate) fn address_of(peer: PeerId) -> Multiaddr {
        Protocol::P2p(peer).into()
    }

    /// As [`Faults::partition`]; what is under way across the border waits at it.
    pub(crate) fn partition(&self, groups: &[&[PeerId]]) {
        self.change(|state| state.faults.partition(groups));
    }

    /// As [`Faults::set_separation`].
    pub(crate) fn set_separation(&self, separation: Separation) {
        self.change(|state| state.faults.set_separation(separation));
    }

    /// Holds back all that `from` sends to `to`, until `heal`.
    pub(crate) fn block(&self, from: PeerId, to: PeerId) {
        self.change(|state| state.faults.block(from, to));
    }

    /// Ends the partition and unblocks all links; what was held back comes through.
    pub(crate) fn heal(&self) {
        self.change(|state| state.faults.heal());
    }

    /// Delays what a peer reads from now on by a duration drawn from the range; the order stays.
    pub(crate) fn set_delay(&self, delay: Range<Duration>) {
        self.change(|state| state.faults.set_delay(delay));
    }

    /// Takes a peer off the network, until it starts anew: its connections are over, and nobody finds it.
    pub(crate) fn cut(&self, peer: PeerId) {
        self.change(|state| {
            state.gone.insert(peer);
            state.listening.remove(&peer);
        });
    }

    /// The way of this peer to the others, which puts it on the network, or back on it after `cut`.
    pub(super) fn transport(
        &self,
        me: PeerId,
        config: tcp::Config,
        security: noise::Config,
        muxer: yamux::Config,
        handshake_timeout: Duration,
    ) -> Boxed<(PeerId, StreamMuxerBox)> {
        self.lock().gone.remove(&me);
        let street = Street { tcp: tcp::tokio::Transport::new(config), links: self.clone(), me };
        let secured = street.upgrade(Version::V1Lazy).authenticate(security);
        secured.multiplex(muxer).timeout(handshake_timeout).boxed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and has all streams look at what is true now.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.waiting.retain(|wakers| wakers.upgrade().inspect(|wakers| wakers.wake()).is_some());
    }

    /// What becomes of what `from` sends to `to` over a connection of `me`.
    fn passage(&self, me: PeerId, from: PeerId, to: PeerId) -> Passage {
        let state = self.lock();
        // The end of a peer is noticed across a partition, too.
        if [me, from, to].iter().any(|peer| state.gone.contains(peer)) || !state.faults.keeps_open(from, to) {
            Passage::Closed
        } else if state.faults.passes(from, to) {
            Passage::Open
        } else {
            Passage::Held
        }
    }

    fn delays(&self) -> bool {
        self.lock().faults.delays()
    }

    fn draw_delay(&self) -> Duration {
        self.lock().faults.draw_delay()
    }
}

/// TCP, where peers are dialled by name.
struct Street {
    tcp: tcp::tokio::Transport,
    links: Links,
    me: PeerId,
}

impl Street {
    /// Where the peer listens, if it can be reached at all.
    fn find(&self, address: &Multiaddr) -> Result<(PeerId, Multiaddr), TransportError<io::Error>> {
        let Some(Protocol::P2p(peer)) = address.iter().last() else {
            return Err(TransportError::MultiaddrNotSupported(address.clone()));
        };
        let state = self.links.lock();
        let at = state.listening.get(&peer).filter(|_| state.faults.keeps_open(self.me, peer));
        let at = at.ok_or_else(|| TransportError::Other(io::ErrorKind::ConnectionRefused.into()))?;
        Ok((peer, at.clone()))
    }
}

impl Transport for Street {
    type Output = Line;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<Line>>;
    type Dial = BoxFuture<'static, io::Result<Line>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.tcp.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.tcp.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let (peer, at) = self.find(&address)?;
        let (links, me) = (self.links.clone(), self.me);
        Ok(self.tcp.dial(at, opts)?.map_ok(move |stream| Line::new(stream, links, me, Some(peer))).boxed())
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let (links, me) = (self.links.clone(), self.me);
        Pin::new(&mut self.tcp).poll(cx).map(|event| match event {
            TransportEvent::NewAddress { listener_id, listen_addr } => {
                links.lock().listening.insert(me, listen_addr);
                TransportEvent::NewAddress { listener_id, listen_addr: Links::address_of(me) }
            }
            TransportEvent::AddressExpired { listener_id, .. } => {
                TransportEvent::AddressExpired { listener_id, listen_addr: Links::address_of(me) }
            }
            other => {
                other.map_upgrade(|stream| stream.map_ok(move |stream| Line::new(stream, links, me, None)).boxed())
            }
        })
    }
}

#[cfg(test)]
mod tests;
