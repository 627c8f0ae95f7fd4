//! What joins the namespaces: reads the IP packets that leave each by its TUN device, asks the link what becomes of
//! them, and puts them into the namespace that has the address.
//!
//! A task a device reads; a task a direction waits until the next packet is due. The queue of a direction is bounded: what
//! does not fit is dropped, as a router does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_tun::Tun;

use super::link::{Link, Weather};
use super::{NETMASK, host_at};
use crate::Failed;

/// Packets of one direction that may be under way.
const PACKETS_MAX: usize = 4096;
/// Bytes of a packet.
const MTU: i32 = 1400;

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Arrived, or still under way.
    pub passed: u64,
    /// Lost by the weather.
    pub lost: u64,
    /// Stopped where a direction is cut.
    pub cut: u64,
    /// Dropped since too many were under way.
    pub crowded: u64,
}

pub(super) struct Relay {
    /// Its end is that of all the tasks.
    runtime: Runtime,
    devices: Vec<Arc<Tun>>,
    map: Arc<Mutex<Map>>,
}

/// A packet, and when it arrives.
type Due = (Instant, Vec<u8>);

struct Map {
    seed: u64,
    weather: Weather,
    cuts: BTreeSet<(usize, usize)>,
    links: BTreeMap<(usize, usize), (Link, Sender<Due>)>,
    counts: Counts,
}

impl Relay {
    pub(super) fn new(seed: u64) -> Result<Self, Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("relay")
            .enable_all()
            .build()
            .map_err(|error| Failed(error.to_string()))?;
        let map = Map {
            seed,
            weather: Weather::FAIR,
            cuts: BTreeSet::new(),
            links: BTreeMap::new(),
            counts: Counts::default(),
        };
        Ok(Relay { runtime, devices: Vec::new(), map: Arc::new(Mutex::new(map)) })
    }

    /// Makes a device with this address in the namespace that the calling thread is in, and joins it to the others.
    pub(super) fn add(&mut self, address: Ipv4Addr) -> io::Result<()> {
        let _inside = self.runtime.enter();
        let device = Tun::builder().name("wire").mtu(MTU).address(address).netmask(NETMASK).up().build();
        let device = device.map_err(io::Error::other)?.pop().ok_or_else(|| io::Error::other("no device was made"))?;
        let (device, new) = (Arc::new(device), self.devices.len());
        for (other, theirs) in self.devices.iter().enumerate() {
            self.join(other, new, Arc::clone(&device));
            self.join(new, other, Arc::clone(theirs));
        }
        self.runtime.spawn(read(new, Arc::clone(&device), Arc::clone(&self.map)));
        self.devices.push(device);
        Ok(())
    }

    fn join(&self, from: usize, to: usize, device: Arc<Tun>) {
        let (sender, due) = channel(PACKETS_MAX);
        let mut map = lock(&self.map);
        let link = Link::new(map.seed, from, to);
        map.links.insert((from, to), (link, sender));
        self.runtime.spawn(deliver(due, device));
    }

    pub(super) fn weather(&self, weather: Weather) {
        lock(&self.map).weather = weather;
    }

    pub(super) fn cut(&self, from: usize, to: usize) {
        lock(&self.map).cuts.insert((from, to));
    }

    pub(super) fn heal(&self) {
        lock(&self.map).cuts.clear();
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.map).counts
    }
}

impl Map {
    /// A packet from this host sets out.
    fn pass(&mut self, from: usize, packet: &[u8], now: Instant) {
        let Some(to) = destination(packet) else { return };
        let Some((link, sender)) = self.links.get_mut(&(from, to)) else { return };
        let arrival = link.arrival(now, self.weather);
        let count = match arrival {
            _ if self.cuts.contains(&(from, to)) => &mut self.counts.cut,
            None => &mut self.counts.lost,
            Some(arrival) => match sender.try_send((arrival, packet.to_owned())) {
                Ok(()) => &mut self.counts.passed,
                Err(_) => &mut self.counts.crowded,
            },
        };
        *count += 1;
    }
}

fn lock(map: &Mutex<Map>) -> MutexGuard<'_, Map> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host that an IPv4 packet is for. Others, such as what IPv6 says by itself, are for nobody.
fn destination(packet: &[u8]) -> Option<usize> {
    let version = packet.first()? >> 4;
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    host_at(address.into()).filter(|_| version == 4)
}

async fn read(from: usize, device: Arc<Tun>, map: Arc<Mutex<Map>>) {
    let mut packet = [0; MTU as usize];
    // It ends with its namespace.
    while let Ok(length) = device.recv(&mut packet).await {
        lock(&map).pass(from, &packet[..length], Instant::now());
    }
}

async fn deliver(mut due: Receiver<Due>, device: Arc<Tun>) {
    while let Some((arrival, packet)) = due.recv().await {
        if arrival > Instant::now() {
            tokio::time::sleep_until(arrival.into()).await;
        }
        // Whoever is gone gets nothing.
        let _ = device.send(&packet).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_for_the_host_of_its_address_and_what_is_none_is_for_nobody() {
        let mut packet = [0; 28];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&[10, 83, 0, 3]);
        assert_eq!(destination(&packet), Some(2));
        assert_eq!(destination(&packet[..19]), None);
        assert_eq!(destination(&[]), None);
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None);
        packet[0] = 0x45;
        packet[16] = 224;
        assert_eq!(destination(&packet), None);
    }
}
