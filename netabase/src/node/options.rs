//! What `start()` can be told, with what it does when told nothing.

use std::path::PathBuf;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use super::assemble::Beginning;
use super::invite::Invite;
use super::role::Role;
use crate::consensus::{CHECKPOINT_ROUNDS, Timing};
use crate::error::{Error, Result};
use crate::network::{Identity, NetworkLimits};
use crate::storage::{CACHE_BYTES, StoreKind};

/// Bounds on what a node takes. The same on every node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    record_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { record_bytes_max: 1 << 20 }
    }
}

impl Limits {
    /// The largest record, in bytes of its stored form; 1 MiB unless set. At most 16 MiB.
    #[must_use]
    pub fn record_bytes_max(mut self, bytes: usize) -> Self {
        self.record_bytes_max = bytes;
        self
    }

    pub(crate) fn record_bytes(self) -> usize {
        self.record_bytes_max
    }

    fn check(self) -> Result<()> {
        if (1..=RECORD_BYTES_CEILING).contains(&self.record_bytes_max) {
            Ok(())
        } else {
            Err(Error::Configuration {
                option: "limits",
                reason: format!(
                    "`record_bytes_max` is {}, it must be from 1 to {RECORD_BYTES_CEILING}",
                    self.record_bytes_max
                ),
            })
        }
    }
}

/// A promise may have to carry every open round, and has to fit into a frame.
pub(crate) const RECORD_BYTES_CEILING: usize = 16 << 20;

/// What decides how fast a node notices, how long it waits, and how much it keeps for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    pub(crate) timing: Timing,
    pub(crate) request_timeout: Duration,
    pub(crate) vote_timeout: Duration,
    pub(crate) log_bytes_max: u64,
    pub(crate) cache_bytes: usize,
    /// At every so many rounds nodes compare what they hold; the same on all of them.
    pub(crate) checkpoint_rounds: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            timing: Timing::default(),
            request_timeout: Duration::from_secs(10),
            vote_timeout: Duration::from_secs(1),
            log_bytes_max: 256 << 20,
            cache_bytes: CACHE_BYTES,
            checkpoint_rounds: CHECKPOINT_ROUNDS,
        }
    }
}

impl Tuning {
    /// How long a write waits for its outcome before it ends in an error; 10 s unless set.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How much of the consensus log is kept for members that are behind, in bytes; 256 MiB unless set. A member that needs
    /// more fetches all records instead. What every member has stored is not kept, whatever this says.
    #[must_use]
    pub fn log_bytes_max(mut self, bytes: u64) -> Self {
        self.log_bytes_max = bytes;
        self
    }

    /// How much of the records is kept in memory by [`StoreKind::Redb`], in bytes; 32 MiB unless set. Worth more where reads
    /// at random go over more than that.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How often a leader shows that it is alive, and after how much silence it is suspected; 50 ms and 250 ms unless set.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration, silence: Duration) -> Self {
        self.timing.beat = every;
        self.timing.silence = silence;
        self
    }
}

/// Everything that `start()` was told.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: Vec<String>,
    pub(crate) founders: Option<Vec<String>>,
    pub(crate) join: Option<Invite>,
    pub(crate) recover_alone: bool,
    pub(crate) rebuild: bool,
    pub(crate) identity: Option<Identity>,
    pub(crate) store: StoreKind,
    pub(crate) limits: Limits,
    pub(crate) network_limits: NetworkLimits,
    pub(crate) tuning: Tuning,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            data_dir: PathBuf::from("netabase-data"),
            listen: Vec::new(),
            founders: None,
            join: None,
            recover_alone: false,
            rebuild: false,
            identity: None,
            store: StoreKind::default(),
            limits: Limits::default(),
            network_limits: NetworkLimits::default(),
            tuning: Tuning::default(),
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        if self.recover_alone && (self.founders.is_some() || self.join.is_some()) {
            return Err(Error::Configuration {
                option: "recover_alone",
                reason: "the new cluster has this node alone: leave out `founders` and `join`, and invite others once it runs"
                    .into(),
            });
        }
        if self.rebuild && (self.recover_alone || self.join.is_some()) {
            return Err(Error::Configuration {
                option: "rebuild",
                reason: "the records are fetched from the other members of the cluster that this directory is of: leave out \
                         `recover_alone` and `join`"
                    .into(),
            });
        }
        if let Some(invite) = &self.join {
            if self.founders.is_some() {
                return Err(Error::Configuration {
                    option: "join",
                    reason: "a node either founds a cluster or joins one: leave out `founders` or `join`".into(),
                });
            }
            invite.check_role("join", &[Role::Voter, Role::Learner])?;
        }
        self.limits.check()?;
        self.network_limits.check()
    }

    /// The addresses to listen on; a node alone on its machine needs none.
    pub(crate) fn listen_addresses(&self) -> Result<Vec<Multiaddr>> {
        self.listen
            .iter()
            .map(|address| {
                address.parse().map_err(|error| Error::Configuration {
                    option: "listen",
                    reason: format!(
                        "`{address}` is not an address ({error}): write it like `/ip4/127.0.0.1/tcp/4001` or `/ip4/127.0.0.1/udp/4001/quic-v1`"
                    ),
                })
            })
            .collect()
    }

    /// How a new directory is to begin: alone, or with the founders, oneself included.
    pub(crate) fn beginning(&self, me: PeerId) -> Result<Beginning> {
        let Some(founders) = &self.founders else { return Ok(Beginning::Alone) };
        let mut peers: Vec<(PeerId, Vec<Multiaddr>)> = Vec::new();
        for founder in founders {
            let (peer, address) = crate::network::parse_peer_address("founders", founder)?;
            // A founder may be named with several addresses.
            match peers.iter_mut().find(|(known, _)| *known == peer) {
                Some((_, addresses)) => addresses.push(address),
                None => peers.push((peer, vec![address])),
            }
        }
        if peers.iter().any(|(peer, _)| *peer == me) {
            Ok(Beginning::Founded(peers))
        } else {
            Err(Error::Configuration {
                option: "founders",
                reason: format!(
                    "the list does not name this node, {me}: add its address, and give every founder the same list"
                ),
            })
        }
    }
}
