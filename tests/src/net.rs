//! A net of hosts on one machine: each a network namespace of its own, joined by a relay that delays, drops and cuts.
//!
//! ```text
//!  namespace 0: node - kernel's TCP/IP - TUN ---+             +--- TUN - kernel's TCP/IP - node :namespace 1
//!                                               +--- relay ---+
//!  namespace 2: node - kernel's TCP/IP - TUN ---+  (weather, cuts; decisions by the seed)
//! ```
//!
//! Nothing leaves the namespaces, which the net makes itself and removes when it is dropped. Needs root, and `ip` of
//! iproute2; not `netem`, which many kernels lack.

mod link;
mod namespace;
mod relay;

use std::net::{Ipv4Addr, UdpSocket};

pub use link::Weather;
use namespace::Namespace;
pub use relay::Counts;
use relay::Relay;

use crate::{Failed, Host};

/// Where a node listens in its namespace.
const PORT: u16 = 4001;

/// By what nodes talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The kernel's TCP.
    Tcp,
    /// QUIC, on UDP.
    Quic,
}

/// The hosts and what joins them. They are numbered in the order in which they were added.
pub struct Net {
    relay: Relay,
    spaces: Vec<Namespace>,
}

impl Net {
    /// A net without hosts, in fair weather. `seed` decides which packets are lost, and how late they are.
    ///
    /// # Errors
    /// Where no namespace may be made: [`Net::may_be_made`] tells beforehand.
    pub fn new(seed: u64) -> Result<Self, Failed> {
        Namespace::remove_stale();
        Ok(Net { relay: Relay::new(seed)?, spaces: Vec::new() })
    }

    /// Whether this process may make namespaces, as far as its user tells: root may. Says so where it may not, for a test
    /// that has to be left out.
    #[must_use]
    pub fn may_be_made() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            println!("LEFT OUT: only root may make network namespaces; run it as root, as CI does");
        }
        root
    }

    /// Adds a host, connected to all others.
    ///
    /// # Errors
    /// Where the system refuses a namespace or its device.
    pub fn add(&mut self) -> Result<usize, Failed> {
        let host = self.spaces.len();
        let space = Namespace::new(host)?;
        let relay = &mut self.relay;
        space.inside(|| relay.add(address(host)))?;
        self.spaces.push(space);
        Ok(host)
    }

    /// Where a node process runs on this host, and by which transport others reach it.
    #[must_use]
    pub fn host(&self, host: usize, transport: Transport) -> Host {
        let address = address(host);
        let listen = match transport {
            Transport::Tcp => format!("/ip4/{address}/tcp/{PORT}"),
            Transport::Quic => format!("/ip4/{address}/udp/{PORT}/quic-v1"),
        };
        Host::new(self.spaces[host].through(), listen)
    }

    /// A socket on this host, on a port that the system chose.
    ///
    /// # Errors
    /// Where the system refuses it.
    pub fn socket(&self, host: usize) -> Result<UdpSocket, Failed> {
        self.spaces[host].inside(|| UdpSocket::bind((address(host), 0)))
    }

    /// How packets fare from now on, between any two hosts.
    pub fn weather(&self, weather: Weather) {
        self.relay.weather(weather);
    }

    /// Nothing gets from `from` to `to` any more; what goes the other way still does.
    pub fn cut(&self, from: usize, to: usize) {
        self.relay.cut(from, to);
    }

    /// Nothing is cut any more.
    pub fn heal(&self) {
        self.relay.heal();
    }

    /// What became of the packets so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.relay.counts()
    }
}

/// Every net has the same addresses: its hosts can reach no others.
fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 83, 0, u8::try_from(host + 1).expect("there are not that many hosts"))
}

/// The host that has this address.
fn host_at(address: Ipv4Addr) -> Option<usize> {
    match address.octets() {
        [10, 83, 0, last] => usize::from(last).checked_sub(1),
        _ => None,
    }
}

/// Addresses of a net, as a mask.
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
