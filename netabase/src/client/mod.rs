//! A handle's connection to a cluster of which it holds no data.
//!
//! ```text
//! handle ─▶ Shared ─┬─ reads, watches, transactions ─▶ the member, one request and answer at a time
//!                   └─ Submitter ─▶ pump ────────────▶ the member ─▶ its relay ─▶ the leader ─▶ log
//!           link (thread of its own): swarm, which member, greets it again and again, moves on when it fails
//! ```
//! Must hold: what the handle was told is the past of all that it is told later, at whichever member (`seen`); a write
//! keeps its number across every move, so it happens once; a watch goes on exactly where it was. Whatever a member keeps for
//! this client may be gone at any time: reads start over, transactions run again. Used by the handle.

mod ask;
mod link;
mod pump;
mod read;
mod run;
mod shared;
mod thread;
mod watch;

use libp2p::{Multiaddr, PeerId};

pub(crate) use self::read::rest;
pub(crate) use self::run::{Ended, Foresight, Run};
pub(crate) use self::shared::Shared;
pub(crate) use self::thread::{Client, Parts};
pub(crate) use self::watch::Watch;
use crate::consensus::{Admission, ClusterId};
use crate::node::Invite;

/// Where to connect.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) cluster: ClusterId,
    pub(crate) members: Vec<(PeerId, Vec<Multiaddr>)>,
}

impl Target {
    /// Where the members are, as the one says that let this client in, or as the invite said.
    pub(crate) fn of(admission: &Admission, invite: &Invite) -> Self {
        let mut members = invite.members().to_vec();
        for (peer, addresses) in &admission.peers {
            let Ok(peer) = peer.parse() else { continue };
            let told = addresses.iter().filter_map(|address| address.parse().ok());
            match members.iter_mut().find(|(known, _)| *known == peer) {
                Some((_, known)) => {
                    let new: Vec<Multiaddr> = told.filter(|address| !known.contains(address)).collect();
                    known.extend(new);
                }
                None => members.push((peer, told.collect())),
            }
        }
        Target { cluster: admission.cluster, members }
    }
}

/// Reads, steps of transactions and counts that may wait for their answer at a time; more wait their turn.
const ASKS_MAX: usize = 192;
/// Watches of one client: each has a request that waits at the member.
pub(crate) const WATCHES_MAX: usize = 256;
/// Requests with commands that may be under way; the next gathers meanwhile.
const SUBMITS_MAX: usize = 8;
/// Transactions that run, and moments that are held, at a time.
const RUNS_MAX: usize = 40;
const MOMENTS_MAX: usize = 8;

const _: () = assert!(ASKS_MAX + WATCHES_MAX + SUBMITS_MAX + 8 < crate::desk::REQUESTS_MAX, "the desk takes all of it");
const _: () = assert!(RUNS_MAX + MOMENTS_MAX < crate::desk::LEASES_MAX, "the desk leases all of it");
const _: () = assert!(crate::consensus::OUTSTANDING_MAX * 2 <= crate::desk::UNDER_WAY_MAX, "and copies of commands");
