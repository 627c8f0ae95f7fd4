//! A peer over real sockets that says whatever a test likes: handshake, muxer and protocol names as they should be, and
//! nothing else. For the repository's own tests of what a node puts up with.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures::future::poll_fn;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse, Transport, TransportError};
use libp2p::core::{Endpoint, upgrade};
use libp2p::{Multiaddr, noise, tcp, yamux};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::consensus::{Envelope, Epoch, Greeting, PaxosRequest, Pulse, PulseRequest};
use crate::desk::message::{Read, Request};
use crate::event::Start;
use crate::network::Identity;
use crate::schema::{Catalog, Plan, RecordId, Schema, codec};

const HEADER: &str = "/multistream/1.0.0";
const PING: &str = "/ipfs/ping/1.0.0";
/// Streams that the muxer carries; the node's own limit is what is tested.
const STREAMS_MAX: usize = 4096;
/// Frames of the node that are kept.
const HEARD_MAX: usize = 4096;
const FRAME_BYTES_MAX: usize = 16 << 20;
const COUNTED_BYTES: usize = 9;
const OPENINGS_MAX: usize = 16;

/// What the node said on its own: on which protocol, and the payload.
pub type Heard = (String, Vec<u8>);

/// One connection to a node. It ends when this is dropped.
#[derive(Debug)]
pub struct Hostile {
    openings: mpsc::Sender<oneshot::Sender<io::Result<SubstreamBox>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    closed: watch::Receiver<bool>,
}

impl Hostile {
    /// Connects to a node at `/ip4/…/tcp/…`; a stranger gets as far, too.
    ///
    /// # Errors
    /// When there is no connection or no handshake.
    pub async fn connect(identity: &Identity, address: &str) -> io::Result<Hostile> {
        let address: Multiaddr = address.parse().map_err(io::Error::other)?;
        let security = noise::Config::new(identity.keypair()).map_err(io::Error::other)?;
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        let mut transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
            .upgrade(upgrade::Version::V1)
            .authenticate(security)
            .multiplex(config)
            .boxed();
        let dialled = transport.dial(address, DialOpts { role: Endpoint::Dialer, port_use: PortUse::New });
        let (_, muxer) = dialled.map_err(|error: TransportError<io::Error>| io::Error::other(error))?.await?;
        let (openings, requests) = mpsc::channel(OPENINGS_MAX);
        let heard = Arc::default();
        let (closing, closed) = watch::channel(false);
        tokio::spawn(drive(muxer, requests, Arc::clone(&heard), closing));
        Ok(Hostile { openings, heard, closed })
    }

    /// A stream on which nothing was said yet.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn open_bare(&self) -> io::Result<Wire> {
        let (opened, stream) = oneshot::channel();
        let gone = || io::Error::from(io::ErrorKind::ConnectionReset);
        self.openings.send(opened).await.map_err(|_| gone())?;
        stream.await.map_err(|_| gone())?.map(Wire)
    }

    /// A stream of a protocol that the node agreed to.
    ///
    /// # Errors
    /// When it did not, or the connection is gone.
    pub async fn open(&self, protocol: &str) -> io::Result<Wire> {
        let mut wire = self.open_bare().await?;
        wire.send(&[line(HEADER), line(protocol)].concat()).await?;
        for expected in [HEADER, protocol] {
            if wire.hear_line().await? != expected {
                return Err(io::Error::from(io::ErrorKind::Unsupported));
            }
        }
        Ok(wire)
    }

    /// Whether the node has not closed the connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !*self.closed.borrow()
    }

    /// Returns once the node has closed it.
    pub async fn closed(&mut self) {
        // An error says that the connection's task has ended.
        let _ = self.closed.wait_for(|closed| *closed).await;
    }

    /// What the node said on its own so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One stream.
#[derive(Debug)]
pub struct Wire(SubstreamBox);

impl Wire {
    /// Sends these bytes; waits while the node does not read.
    ///
    /// # Errors
    /// When the stream is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// The payload of the next frame.
    ///
    /// # Errors
    /// When the stream is gone.
    pub async fn hear(&mut self) -> io::Result<Vec<u8>> {
        let mut header = [0; 4 + COUNTED_BYTES];
        self.0.read_exact(&mut header).await?;
        let [l0, l1, l2, l3, ..] = header;
        let bytes = (u32::from_be_bytes([l0, l1, l2, l3]) as usize).saturating_sub(COUNTED_BYTES);
        let mut payload = vec![0; bytes.min(FRAME_BYTES_MAX)];
        self.0.read_exact(&mut payload).await?;
        Ok(payload)
    }

    /// A line of the negotiation; each is shorter than 128 bytes.
    async fn hear_line(&mut self) -> io::Result<String> {
        let mut length = [0];
        self.0.read_exact(&mut length).await?;
        let mut text = vec![0; length[0].into()];
        self.0.read_exact(&mut text).await?;
        Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
    }
}

/// A request as a node frames it, with any length in its header.
#[must_use]
pub fn frame(id: u64, payload: &[u8], said_bytes: usize) -> Vec<u8> {
    let counted = u32::try_from(said_bytes + COUNTED_BYTES).unwrap_or(u32::MAX);
    [&counted.to_be_bytes()[..], &id.to_be_bytes(), &[1], payload].concat()
}

fn line(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len() + 1).unwrap_or(0)], text.as_bytes(), b"\n"].concat()
}

async fn drive(
    mut muxer: StreamMuxerBox,
    mut requests: mpsc::Receiver<oneshot::Sender<io::Result<SubstreamBox>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    closing: watch::Sender<bool>,
) {
    let mut waiting: Option<oneshot::Sender<io::Result<SubstreamBox>>> = None;
    poll_fn(|cx| {
        loop {
            match muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    tokio::spawn(listen(Wire(stream), Arc::clone(&heard)));
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            match muxer.poll_unpin(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => continue,
                Poll::Pending => {}
            }
            if waiting.is_none() {
                match std::task::ready!(requests.poll_recv(cx)) {
                    Some(request) => waiting = Some(request),
                    None => return Poll::Ready(()),
                }
            }
            let opened = std::task::ready!(muxer.poll_outbound_unpin(cx));
            if let Some(request) = waiting.take() {
                let _ = request.send(opened);
            }
        }
    })
    .await;
    closing.send_replace(true);
}

/// Takes in what the node says on a stream of its own, and answers nothing but pings.
async fn listen(mut wire: Wire, heard: Arc<Mutex<Vec<Heard>>>) -> io::Result<()> {
    wire.hear_line().await?;
    let protocol = wire.hear_line().await?;
    wire.send(&line(HEADER)).await?;
    if protocol != PING && !protocol.starts_with("/netabase/") {
        wire.send(&line("na")).await?;
        return Ok(());
    }
    wire.send(&line(&protocol)).await?;
    if protocol == PING {
        loop {
            let mut ping = [0; 32];
            wire.0.read_exact(&mut ping).await?;
            wire.send(&ping).await?;
        }
    }
    loop {
        let payload = wire.hear().await?;
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < HEARD_MAX {
            heard.push((protocol.clone(), payload));
        }
    }
}

/// What a voter needs to be listened to, as a node's own greeting tells it.
#[derive(Clone, Debug)]
pub struct Papers(Greeting);

impl Papers {
    /// From what a node said; nothing if there was no greeting.
    #[must_use]
    pub fn find(heard: &[Heard]) -> Option<Papers> {
        heard.iter().find_map(|(_, payload)| match codec::decode::<Pulse<PulseRequest>>(payload) {
            Ok(Pulse::Greeting(greeting)) => Some(Papers(*greeting)),
            _ => None,
        })
    }

    /// Whether a node introduces itself with it.
    #[must_use]
    pub fn is_greeting(payload: &[u8]) -> bool {
        matches!(codec::decode::<Pulse<PulseRequest>>(payload), Ok(Pulse::Greeting(_)))
    }

    /// The epoch in which that node is.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.epoch.0
    }

    /// For the channel `heartbeat`.
    #[must_use]
    pub fn greeting(&self, epoch: u64) -> Vec<u8> {
        let life = self.0.remembered.unwrap_or(self.0.incarnation);
        let theirs = Greeting {
            epoch: Epoch(epoch),
            incarnation: life,
            counted: 0,
            remembered: None,
            applied: 0,
            ..self.0.clone()
        };
        encoded(&Pulse::<PulseRequest>::Greeting(Box::new(theirs)))
    }

    /// "I lead", for the channel `heartbeat`.
    #[must_use]
    pub fn beat(&self, epoch: u64, ballot: u64) -> Vec<u8> {
        let beat = PulseRequest::Beat { ballot, decided: 0, held: 0, word: None };
        encoded(&Pulse::Within(self.envelope(epoch, beat)))
    }

    /// "Promise me", for the channel `paxos`.
    #[must_use]
    pub fn prepare(&self, epoch: u64, round: u64, ballot: u64) -> Vec<u8> {
        encoded(&self.envelope(epoch, PaxosRequest::Prepare { round, ballot }))
    }

    fn envelope<T>(&self, epoch: u64, body: T) -> Envelope<T> {
        let incarnation = self.0.remembered.unwrap_or(self.0.incarnation);
        Envelope { cluster: self.0.cluster, epoch: Epoch(epoch), incarnation, body }
    }
}

/// A client's question for as many records as one answer holds, of the first record type.
///
/// # Panics
/// If the schema is none.
#[must_use]
pub fn page<S: Schema>() -> Vec<u8> {
    encoded(&Request::Read { seen: 0, view: None, read: Read::Page { plan: plan::<S>() } })
}

/// A client's watch of all that is there and comes.
///
/// # Panics
/// If the schema is none.
#[must_use]
pub fn watch<S: Schema>() -> Vec<u8> {
    encoded(&Request::Watch { seen: 0, plan: plan::<S>(), start: Start::Current, wait_ms: 30_000 })
}

fn plan<S: Schema>() -> Plan {
    let catalog = Catalog::of::<S>().expect("the test has a schema");
    let record: RecordId = catalog.records().next().expect("a schema has records").0;
    Plan {
        record,
        index: None,
        lower: std::ops::Bound::Unbounded,
        upper: std::ops::Bound::Unbounded,
        limit: None,
        reverse: false,
        after: None,
    }
}

fn encoded(message: &impl Serialize) -> Vec<u8> {
    codec::encode(message).map(Bytes::from).expect("a message can be encoded").to_vec()
}
