//! What bounds the network: every queue, every buffer and every connection count has its number here.

use std::time::Duration;

use super::protocol::{Channel, PAYLOAD_BYTES_CEILING};
use crate::Error;

/// Events that wait for the node; beyond it peers are no longer read.
pub(crate) const EVENT_QUEUE_MAX: usize = 1024;
/// Requests of clients that wait for the node; beyond it clients are no longer read.
pub(crate) const CLIENT_QUEUE_MAX: usize = 1024;
/// Requests that wait for one connection's substream, a channel.
pub(crate) const OUTBOUND_QUEUE_MAX: usize = 4096;
/// Requests that left on one connection and have no answer yet, a channel.
pub(crate) const IN_FLIGHT_MAX: usize = 8192;
/// Payload bytes of the requests that wait for one connection, a channel; one request always fits.
pub(crate) const OUTBOUND_QUEUE_BYTES_MAX: usize = 128 << 20;
/// Requests of one peer on one channel that the node has and has not answered; beyond it the peer is
/// no longer read.
pub(crate) const UNANSWERED_MAX: usize = 512;
/// Their payload bytes and those of the answers that wait to be written; one always fits.
pub(crate) const UNANSWERED_BYTES_MAX: usize = 64 << 20;
/// Bytes read from a substream at a time.
pub(crate) const READ_BUFFER_BYTES: usize = 32 << 10;
/// Bytes of frames gathered before they are written and flushed.
pub(crate) const WRITE_BUFFER_BYTES: usize = 64 << 10;
/// A payload of at least this size is written from where it lies, not copied into the buffer.
pub(crate) const WRITE_DIRECT_BYTES: usize = 16 << 10;
/// Streams that a peer may open anew a second, once it has opened as many as it may have: one a channel is enough, and
/// another one takes its place only after a failure.
pub(crate) const STREAMS_ANEW_PER_SECOND: u32 = 4;
/// Connections that a peer that is no node may open anew a second, once it has opened twice as many as it may have.
pub(crate) const CONNECTIONS_ANEW_PER_SECOND: u32 = 2;
/// Messages of one peer, also of a member, that nobody can read or that belong to another epoch: so many at once, as when the
/// epoch changes under a busy leader, and so many a second; with more of them, the peer is read that slowly.
pub(crate) const OFFENCES_BURST: u32 = 2048;
pub(crate) const OFFENCES_PER_SECOND: u32 = 256;
/// Addresses of strangers that are told apart; what comes from others beyond it counts as of one.
pub(crate) const STRANGE_ADDRESSES_MAX: usize = 1024;
/// Frames handled before other substreams and connections get their turn.
pub(crate) const FRAMES_A_TURN: usize = 256;

/// How much of a node its peers may take, strangers and clients above all: [`Start::network_limits`](crate::Start::network_limits).
///
/// The defaults suit a cluster of five members with a thousand clients. What is over a limit is refused or waits, and
/// [`Status::refused`](crate::Status::refused) counts it. The votes of members are not slowed down; how many of them may
/// wait, and how large they may be, is bounded all the same.
///
/// ```
/// # use netabase::{Netabase, NetworkLimits};
/// # #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, netabase::NetabaseSchema)]
/// # struct Account { #[netabase(key)] id: u64, balance: i64 }
/// let limits = NetworkLimits::default().connections_max(200).requests_per_second_max(1_000);
/// let start = Netabase::<Account>::start().network_limits(limits);
/// # drop(start);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkLimits {
    /// The greatest payload of a request or response on the channel for consensus. A promise carries
    /// the open rounds' entries, so it must cover (open rounds x greatest entry).
    pub(crate) paxos_bytes_max: usize,
    pub(crate) heartbeat_bytes_max: usize,
    pub(crate) forward_bytes_max: usize,
    pub(crate) sync_bytes_max: usize,
    pub(crate) client_bytes_max: usize,
    /// Established connections of one peer: one each way, and room for their successors while dead ones
    /// take their time to close.
    pub(crate) connections_per_peer_max: u32,
    /// Those of peers that are no nodes, all together.
    pub(crate) connections_max: u32,
    /// Substreams of one connection, ours and the peer's, of all protocols.
    pub(crate) streams_max: u32,
    /// Of the requests of one client, and of the answers that it has not read.
    pub(crate) bytes_in_flight_max: usize,
    /// Of one peer that is no node.
    pub(crate) requests_per_second_max: u32,
    /// Of one address, before its connections are refused without a handshake.
    pub(crate) strangers_per_second_max: u32,
    /// For how long a peer may take nothing of what waits for it.
    pub(crate) slow_reader_timeout: Duration,
    /// Handshakes in progress. A stranger can hold one of them for `handshake_timeout`, not longer.
    pub(crate) pending_incoming_max: u32,
    pub(crate) pending_outgoing_max: u32,
    pub(crate) handshake_timeout: Duration,
    /// A peer is pinged this often; one that does not answer for `ping_timeout` is disconnected, which
    /// is how a machine that vanished without a word is noticed.
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    /// The pause before a dial that follows a failure doubles from the first to the second.
    pub(crate) redial_min: Duration,
    pub(crate) redial_max: Duration,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        NetworkLimits {
            paxos_bytes_max: 64 << 20,
            heartbeat_bytes_max: 64 << 10,
            forward_bytes_max: 4 << 20,
            sync_bytes_max: 8 << 20,
            client_bytes_max: 4 << 20,
            connections_per_peer_max: 8,
            connections_max: 2048,
            streams_max: 64,
            bytes_in_flight_max: 16 << 20,
            requests_per_second_max: 10_000,
            strangers_per_second_max: 32,
            slow_reader_timeout: Duration::from_secs(10),
            pending_incoming_max: 64,
            pending_outgoing_max: 64,
            handshake_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(3),
            ping_timeout: Duration::from_secs(10),
            redial_min: Duration::from_millis(50),
            redial_max: Duration::from_secs(1),
        }
    }
}

/// Five channels each way, ping and identify each way, and as many again while failed ones end.
const STREAMS_MIN: u32 = 32;
/// Each may have a window of 256 KiB full of what nobody reads.
const STREAMS_CEILING: u32 = 1024;

impl NetworkLimits {
    /// How many connections of clients, readers and holders of invites a node has at most, all together; 2,048 unless set.
    /// Each takes a file descriptor. The members of the cluster do not count among them: clients cannot crowd them out.
    #[must_use]
    pub fn connections_max(mut self, connections: u32) -> Self {
        self.connections_max = connections;
        self
    }

    /// How many connections one peer has at most; 8 unless set, and 2 at least: one each way.
    #[must_use]
    pub fn connections_per_peer_max(mut self, connections: u32) -> Self {
        self.connections_per_peer_max = connections;
        self
    }

    /// How many streams a connection carries at most, both ways; 64 unless set, from 32 to 1,024. A peer that opens more,
    /// or opens them over and over, loses the connection.
    #[must_use]
    pub fn streams_per_connection_max(mut self, streams: u32) -> Self {
        self.streams_max = streams;
        self
    }

    /// How many bytes of one client may be under way: of its requests that have no answer, and of answers that it has not
    /// read; 16 MiB unless set. Beyond it nothing more is read of it. One request always fits.
    #[must_use]
    pub fn bytes_in_flight_max(mut self, bytes: usize) -> Self {
        self.bytes_in_flight_max = bytes;
        self
    }

    /// How many requests of one client, or of a member that was removed, are taken a second; 10,000 unless set. It may send
    /// as many at once after a pause; those beyond it wait. A request may carry many commands. Members are not slowed down.
    #[must_use]
    pub fn requests_per_second_max(mut self, requests: u32) -> Self {
        self.requests_per_second_max = requests;
        self
    }

    /// How many strangers, and clients that connect over and over, have a handshake a second from one address; 32 unless set.
    /// Only a handshake shows who they are. While there are more, connections from there are refused before it, those of members too, which this node goes
    /// on to dial by itself.
    #[must_use]
    pub fn strangers_per_second_max(mut self, strangers: u32) -> Self {
        self.strangers_per_second_max = strangers;
        self
    }

    /// For how long a peer may read nothing of an answer before its connection is closed; 10 s unless set.
    #[must_use]
    pub fn slow_reader_timeout(mut self, timeout: Duration) -> Self {
        self.slow_reader_timeout = timeout;
        self
    }

    /// Whether a node can work within them.
    ///
    /// # Errors
    /// `Error::Configuration` that names the first that is out of its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let at_least_one = |name, value: usize| (name, value >= 1, "1 at least".to_owned());
        let checks = [
            at_least_one("connections_max", self.connections_max as usize),
            ("connections_per_peer_max", self.connections_per_peer_max >= 2, "2 at least: one each way".to_owned()),
            (
                "streams_per_connection_max",
                (STREAMS_MIN..=STREAMS_CEILING).contains(&self.streams_max),
                format!("from {STREAMS_MIN} to {STREAMS_CEILING}"),
            ),
            at_least_one("bytes_in_flight_max", self.bytes_in_flight_max),
            at_least_one("requests_per_second_max", self.requests_per_second_max as usize),
            at_least_one("strangers_per_second_max", self.strangers_per_second_max as usize),
            ("slow_reader_timeout", self.slow_reader_timeout >= Duration::from_millis(1), "1 ms at least".to_owned()),
        ];
        match checks.into_iter().find(|(_, fits, _)| !fits) {
            None => Ok(()),
            Some((name, _, range)) => Err(Error::Configuration {
                option: "network_limits",
                reason: format!("`{name}` is out of its range: it must be {range}"),
            }),
        }
    }

    /// The greatest payload of a channel.
    pub(crate) fn payload_bytes_max(&self, channel: Channel) -> usize {
        let configured = match channel {
            Channel::Paxos => self.paxos_bytes_max,
            Channel::Heartbeat => self.heartbeat_bytes_max,
            Channel::Forward => self.forward_bytes_max,
            Channel::Sync => self.sync_bytes_max,
            Channel::Client => self.client_bytes_max,
        };
        configured.min(PAYLOAD_BYTES_CEILING)
    }
}
