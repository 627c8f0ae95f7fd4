//! Every name and number of the wire below a message: protocols, channels, frame header, size limits.
//!
//! Changing anything here changes what this node can talk to: a new shape needs a new protocol version.

use libp2p::StreamProtocol;

/// One protocol and, to each peer, one long-lived substream of its own, so that the traffic of one
/// channel never waits behind that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Channel {
    /// Prepare, proposal, commit.
    Paxos,
    /// The leader's signs of life and the confirms of reads; small, and never behind anything else.
    Heartbeat,
    /// Commands that a follower forwards to the leader, and its questions for a read index.
    Forward,
    /// Log ranges and snapshots.
    Sync,
    /// What handles without data ask of a member.
    Client,
}

impl Channel {
    pub(crate) const COUNT: usize = 5;
    pub(crate) const ALL: [Channel; Channel::COUNT] =
        [Channel::Paxos, Channel::Heartbeat, Channel::Forward, Channel::Sync, Channel::Client];

    /// The name under which substreams of this channel are negotiated.
    pub(crate) const fn protocol(self) -> StreamProtocol {
        StreamProtocol::new(match self {
            Channel::Paxos => "/netabase/paxos/1.0.0",
            Channel::Heartbeat => "/netabase/heartbeat/1.0.0",
            Channel::Forward => "/netabase/forward/1.0.0",
            Channel::Sync => "/netabase/sync/1.0.0",
            Channel::Client => "/netabase/client/1.0.0",
        })
    }

    /// The position in arrays with one place a channel.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn of_protocol(protocol: &StreamProtocol) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.protocol() == *protocol)
    }
}

/// What identify tells a peer that we speak.
pub(crate) const IDENTIFY_PROTOCOL: &str = "/netabase/id/1.0.0";

/// A frame: length (u32, of all that follows), correlation id (u64), kind (u8), payload; big-endian.
pub(crate) const LENGTH_BYTES: usize = 4;
pub(crate) const ID_BYTES: usize = 8;
pub(crate) const KIND_BYTES: usize = 1;
pub(crate) const HEADER_BYTES: usize = LENGTH_BYTES + ID_BYTES + KIND_BYTES;
/// What the length field counts besides the payload.
pub(crate) const COUNTED_BYTES: usize = ID_BYTES + KIND_BYTES;

pub(crate) const KIND_REQUEST: u8 = 1;
pub(crate) const KIND_RESPONSE: u8 = 2;
pub(crate) const KIND_REFUSED: u8 = 3;

/// The longest reason that goes with a refusal; longer ones are cut.
pub(crate) const REFUSAL_BYTES_MAX: usize = 1024;

/// No payload limit may exceed this, whatever is configured: the length field is a u32.
pub(crate) const PAYLOAD_BYTES_CEILING: usize = 1 << 30;
