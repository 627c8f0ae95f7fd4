//! All channels of one connection: at most one substream a channel and direction.
//!
//! Polled by the connection's own task, so that one slow connection keeps no other waiting.

use std::{
    array,
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    PeerId, Stream, StreamProtocol,
    core::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    allowance::Allowance,
    codec::FrameError,
    directory::{Directory, PerChannel, Queues},
    handle::RequestError,
    inbound::NetworkEvent,
    inlet::{Inlet, Source},
    outlet::{Demand, Outlet},
    protocol::Channel,
    refused::Reason,
    substream::SubstreamError,
};

/// The peer broke the protocol: its connection must be closed.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) channel: Channel,
    pub(super) error: Offence,
}

/// What it did.
#[derive(Debug, thiserror::Error)]
pub(super) enum Offence {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it reads none of its answers")]
    Unread,
    #[error("only nodes may speak there")]
    NotAllowed,
    #[error("it opens too many streams")]
    Streams,
}

impl Offence {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Offence::Frame(FrameError::TooLarge { .. }) => Reason::TooLarge,
            Offence::Frame(_) => Reason::Malformed,
            Offence::Unread => Reason::SlowReader,
            Offence::NotAllowed => Reason::NotAllowed,
            Offence::Streams => Reason::Streams,
        }
    }
}

#[derive(Debug)]
pub(super) struct Handler {
    allowance: Arc<Allowance>,
    sources: PerChannel<Source>,
    inlets: PerChannel<Option<Inlet<Stream>>>,
    outlets: PerChannel<Outlet<Stream>>,
    /// What is still to be reported, with its channel.
    caught: Option<(Channel, Offence)>,
    /// Set once; nothing is read or written any more.
    violated: bool,
}

impl Handler {
    pub(super) fn new(
        peer: PeerId,
        directory: &Arc<Directory>,
        allowance: Arc<Allowance>,
        queues: Queues,
        events: &mpsc::Sender<NetworkEvent>,
    ) -> Self {
        let limits = directory.limits();
        let sources = Channel::ALL.map(|channel| Source {
            peer,
            channel,
            payload_bytes_max: limits.payload_bytes_max(channel),
            allowance: Arc::clone(&allowance),
            directory: Arc::clone(directory),
            events: events.clone(),
        });
        let mut queues = queues.into_iter();
        let outlets = Channel::ALL.map(|channel| {
            let queue = queues.next().expect("a queue for every channel");
            Outlet::new(channel, limits.payload_bytes_max(channel), queue)
        });
        Handler { allowance, sources, inlets: array::from_fn(|_| None), outlets, caught: None, violated: false }
    }

    /// Ends all that goes on over this connection.
    fn shut(&mut self) {
        self.inlets = array::from_fn(|_| None);
        self.outlets.iter_mut().for_each(Outlet::shut);
    }

    fn violation(&mut self, channel: Channel, error: Offence) -> Poll<Event> {
        self.violated = true;
        self.shut();
        Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Violation { channel, error }))
    }
}

type Event = ConnectionHandlerEvent<Protocols, Channel, Violation>;

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Violation;
    type InboundProtocol = Protocols;
    type OutboundProtocol = Protocols;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Channel;

    fn listen_protocol(&self) -> SubstreamProtocol<Protocols> {
        SubstreamProtocol::new(Protocols(&Channel::ALL), ())
    }

    /// Connections to allowed peers live until one side goes.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.violated {
            return Poll::Pending;
        }
        if let Some((channel, offence)) = self.caught.take() {
            return self.violation(channel, offence);
        }
        for channel in Channel::ALL {
            if let Some(inlet) = &mut self.inlets[channel.index()]
                && let Poll::Ready(error) = inlet.poll(cx)
            {
                tracing::debug!(?channel, %error, "a substream of requests ended");
                self.inlets[channel.index()] = None;
                match error {
                    SubstreamError::Violation(error) => return self.violation(channel, error.into()),
                    SubstreamError::Unread => return self.violation(channel, Offence::Unread),
                    SubstreamError::Io(_) | SubstreamError::Closed => {}
                }
            }
            match self.outlets[channel.index()].poll(cx) {
                Poll::Ready(Demand::Open) => {
                    let protocol = Protocols(&Channel::ALL[channel.index()..=channel.index()]);
                    return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                        protocol: SubstreamProtocol::new(protocol, channel),
                    });
                }
                Poll::Ready(Demand::Close(error)) => return self.violation(channel, error.into()),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// The muxer may take its time to close; nobody shall wait for it.
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Option<Violation>> {
        self.shut();
        Poll::Ready(None)
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Protocols, Protocols, (), Channel>) {
        match event {
            // A second substream takes the place of the first: the peer has opened it because the first failed.
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: Some((channel, stream)),
                ..
            }) if !self.violated => {
                if !self.allowance.may_speak_on(channel) {
                    self.caught = Some((channel, Offence::NotAllowed));
                    return;
                }
                if !self.allowance.take_stream(Instant::now()) {
                    self.caught = Some((channel, Offence::Streams));
                    return;
                }
                let source = self.sources[channel.index()].clone();
                self.inlets[channel.index()] = Some(Inlet::new(stream, source));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: Some((_, stream)),
                info: channel,
            }) if !self.violated => self.outlets[channel.index()].on_opened(stream),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: channel, error }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => {
                        RequestError::Refused(format!("the peer does not speak {}", channel.protocol()))
                    }
                    StreamUpgradeError::Timeout | StreamUpgradeError::Io(_) => RequestError::ConnectionLost,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                self.outlets[channel.index()].on_refused(&error);
            }
            _ => {}
        }
    }
}

/// The protocols that may be agreed on for a substream; the result says for which channel it is.
#[derive(Debug, Clone)]
pub(super) struct Protocols(&'static [Channel]);

impl UpgradeInfo for Protocols {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Map<std::slice::Iter<'static, Channel>, fn(&Channel) -> StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().map(|channel| channel.protocol())
    }
}

impl InboundUpgrade<Stream> for Protocols {
    /// `None` cannot be: only our protocols are ever agreed on.
    type Output = Option<(Channel, Stream)>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok(Channel::of_protocol(&protocol).map(|channel| (channel, stream))))
    }
}

impl OutboundUpgrade<Stream> for Protocols {
    type Output = Option<(Channel, Stream)>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok(Channel::of_protocol(&protocol).map(|channel| (channel, stream))))
    }
}
