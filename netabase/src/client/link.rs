//! Which member is asked: found, greeted again and again, left when it fails.
//!
//! Must hold: a member that is silent, has no leader or refuses is left for another one, and the same one is not asked
//! without a pause; nothing is decided here about what was under way there.

use std::sync::Arc;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use super::ask::{Failure, lasting};
use super::shared::{Member, Shared, Where};
use crate::desk::message::{Trouble, Welcome};
use crate::entropy;
use crate::network::{Guests, NetworkEvent};
use crate::node::Event;

/// How often the member is greeted, and how long it may take to answer.
const HELLO_EVERY: Duration = Duration::from_millis(500);
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);
/// So many greetings in a row without a leader, and another member is tried.
const LEADERLESS_MAX: u32 = 3;
/// The pause when no member takes this client doubles from the first to the second.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Members that are remembered of those that a member names.
const MEMBERS_MAX: usize = 64;

pub(super) struct Link {
    shared: Arc<Shared>,
    events: mpsc::Receiver<NetworkEvent>,
    /// In the order in which they are tried: the one that was left last comes last.
    members: Vec<PeerId>,
    stays: u64,
    /// The members as they were told last.
    told: Vec<(PeerId, Vec<Multiaddr>)>,
    leader: Option<PeerId>,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, events: mpsc::Receiver<NetworkEvent>) -> Self {
        let mut members: Vec<PeerId> = shared.target.members.iter().map(|(peer, _)| *peer).collect();
        if !members.is_empty() {
            // Clients spread over the members.
            let first = u64::from_be_bytes(entropy::bytes()) % members.len() as u64;
            members.rotate_left(usize::try_from(first).unwrap_or(0));
        }
        Link { shared, events, members, stays: 0, told: Vec::new(), leader: None }
    }

    /// Runs until it is dropped, the client was sent away, or the network has ended.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.find().await {
                Some((peer, welcome)) => {
                    pause = PAUSE_MIN;
                    self.shared.board.put_up(&Event::Connected { peer });
                    self.stay(peer, &welcome).await;
                    self.shared.board.put_up(&Event::Disconnected { peer });
                    self.put_last(peer);
                }
                None if self.shared.has_ended() => return,
                None => {
                    let jitter = 0.5 + entropy::fraction();
                    tokio::select! {
                        () = tokio::time::sleep(pause.mul_f64(jitter)) => {}
                        open = connected(&mut self.events) => if !open { return },
                    }
                    pause = (2 * pause).min(PAUSE_MAX);
                }
            }
        }
    }

    /// The first member that takes this client.
    async fn find(&self) -> Option<(PeerId, Welcome)> {
        for &peer in &self.members {
            if !self.shared.network.is_connected(peer) {
                continue;
            }
            match self.shared.ask_peer::<Welcome>(peer, &self.shared.hello(), HELLO_TIMEOUT).await {
                Ok(welcome) => return Some((peer, welcome)),
                Err(Failure::NotSent | Failure::Lost | Failure::Trouble(Trouble::Elsewhere { .. })) => {}
                Err(failure) => {
                    tracing::warn!(%peer, ?failure, "a member does not take this client");
                    let removed = failure == Failure::Trouble(Trouble::Removed);
                    self.shared.set_trouble(Some(lasting(failure)));
                    if removed {
                        self.shared.close();
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Stays at a member for as long as it answers.
    async fn stay(&mut self, peer: PeerId, welcome: &Welcome) {
        tracing::debug!(%peer, "connected");
        self.stays += 1;
        let member = Member { peer, stay: self.stays };
        self.shared.on_welcome(welcome);
        self.follow(welcome);
        self.shared.place.send_if_modified(|place| {
            let looks = *place == Where::Looking;
            if looks {
                *place = Where::At(member);
            }
            looks
        });
        let shared = Arc::clone(&self.shared);
        let mut leaderless = 0;
        loop {
            tokio::select! {
                biased;
                () = shared.left(member) => return,
                open = events(&mut self.events, peer) => if !open { shared.leave(member) },
                () = tokio::time::sleep(HELLO_EVERY) => {
                    // Left if there is no answer.
                    match shared.ask::<Welcome>(member, &shared.hello(), HELLO_TIMEOUT).await {
                        Ok(welcome) => {
                            shared.on_welcome(&welcome);
                            self.follow(&welcome);
                            leaderless = if welcome.leader.is_none() { leaderless + 1 } else { 0 };
                        }
                        Err(_) => shared.leave(member),
                    }
                    if leaderless >= LEADERLESS_MAX && self.has_another(peer) {
                        shared.leave(member);
                    }
                }
            }
        }
    }

    fn has_another(&self, peer: PeerId) -> bool {
        self.members.iter().any(|other| *other != peer && self.shared.network.is_connected(*other))
    }

    /// Members come and go.
    fn follow(&mut self, welcome: &Welcome) {
        if std::mem::replace(&mut self.leader, welcome.leader) != welcome.leader {
            self.shared.board.put_up(&Event::LeaderChanged { leader: welcome.leader });
        }
        if !welcome.members.is_empty() && welcome.members != self.told {
            self.told.clone_from(&welcome.members);
            let members = self.told.iter().map(|member| self.known(member)).collect();
            self.shared.network.set_members(members, &Guests::default());
        }
        let named = |peer: &PeerId| welcome.members.iter().any(|(member, _)| member == peer);
        if !welcome.members.is_empty() {
            self.members.retain(named);
        }
        for (peer, _) in welcome.members.iter().take(MEMBERS_MAX) {
            if !self.members.contains(peer) {
                self.members.push(*peer);
            }
        }
        let connected = self.members.iter().filter(|peer| self.shared.network.is_connected(**peer));
        self.shared.set_reachable(connected.count());
    }

    /// A member with its addresses; with those that were known before, where the member that was asked knows none.
    fn known(&self, (peer, addresses): &(PeerId, Vec<Multiaddr>)) -> (PeerId, Vec<Multiaddr>) {
        let before = self.shared.target.members.iter().find(|(known, _)| known == peer).map(|(_, before)| before);
        match before {
            Some(before) if addresses.is_empty() => (*peer, before.clone()),
            _ => (*peer, addresses.clone()),
        }
    }

    fn put_last(&mut self, peer: PeerId) {
        let before = self.members.len();
        self.members.retain(|other| *other != peer);
        if self.members.len() < before {
            self.members.push(peer);
        }
    }
}

/// Resolves when somebody has connected; `false`: the network has ended.
async fn connected(events: &mut mpsc::Receiver<NetworkEvent>) -> bool {
    loop {
        match events.recv().await {
            Some(NetworkEvent::Connected(_)) => return true,
            Some(NetworkEvent::Disconnected(_)) => {}
            // A member greets whoever connects; a client is not one of them.
            Some(NetworkEvent::Request(inbound)) => inbound.reply.refuse("a client"),
            None => return false,
        }
    }
}

/// Resolves with `false` when this peer, or the network, is gone.
async fn events(events: &mut mpsc::Receiver<NetworkEvent>, peer: PeerId) -> bool {
    loop {
        match events.recv().await {
            Some(NetworkEvent::Disconnected(other)) if other == peer => return false,
            Some(NetworkEvent::Connected(_) | NetworkEvent::Disconnected(_)) => {}
            Some(NetworkEvent::Request(inbound)) => inbound.reply.refuse("a client"),
            None => return false,
        }
    }
}
