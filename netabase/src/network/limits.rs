//! What bounds the network: every queue, every buffer and every connection count has its number here.

use std::time::Duration;

use super::protocol::{Channel, PAYLOAD_BYTES_CEILING};

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
/// Substreams of one connection, ours and the peer's, of all protocols.
pub(crate) const YAMUX_STREAMS_MAX: usize = 64;
/// Frames handled before other substreams and connections get their turn.
pub(crate) const FRAMES_A_TURN: usize = 256;

/// The limits that a node may be started with.
#[derive(Debug, Clone)]
pub(crate) struct NetworkLimits {
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
    pub(crate) connections_max: u32,
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
            connections_max: 256,
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

impl NetworkLimits {
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
