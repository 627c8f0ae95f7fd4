//! The third founder: it greets properly, and then says what a test wants it to say.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::siege::until;
use crate::consensus::id::{Ballot, ClusterId, Epoch, Incarnation, Voters};
use crate::consensus::message::{
    Envelope, ForwardRequest, Greeting, PaxosAnswer, PaxosRequest, Pulse, PulseAnswer, PulseRequest, SyncRequest,
};
use crate::network::{
    self, Channel, Identity, Inbound, Network, NetworkConfig, NetworkEvent, NetworkLimits, RequestError, Sockets,
};
use crate::schema::{Catalog, Summary, codec};
use crate::testing::fixture::Item;

const PATIENCE: Duration = Duration::from_secs(2);
/// How often a lawful prepare may fail while the honest nodes elect each other.
const DEPOSALS_MAX: usize = 20;
/// Requests that are never answered and still held.
const HELD_MAX: usize = 4_096;

/// What an honest node asks of the voter.
#[derive(Debug)]
pub(super) enum Asked {
    Greeting,
    Paxos(PaxosRequest),
    Pulse(PulseRequest),
    Forward(#[expect(dead_code, reason = "shown")] ForwardRequest),
    Sync(#[expect(dead_code, reason = "shown")] SyncRequest),
}

pub(super) enum Say {
    This(Bytes),
    Refuse,
    /// Nothing, ever; the request stays open.
    Nothing,
}

/// What to say; `None` is what a voter says that is there and takes no part.
pub(super) type Conduct = Box<dyn FnMut(&Papers, &Asked) -> Option<Say> + Send>;

/// What an honest third node would say of itself.
#[derive(Debug)]
pub(super) struct Papers {
    pub(super) me: PeerId,
    pub(super) voters: Voters,
    pub(super) cluster: ClusterId,
    pub(super) incarnation: Incarnation,
    founders: Vec<String>,
    schema: Summary,
    /// The greatest ballot that an honest node named.
    seen: AtomicU64,
}

impl Papers {
    /// Of `me` in a cluster of these founders.
    pub(super) fn new(me: PeerId, founders: Vec<PeerId>) -> Papers {
        let catalog = Catalog::of::<Item>().unwrap();
        let voters = Voters::new(founders);
        Papers {
            me,
            cluster: ClusterId::of(&voters, &catalog.fingerprint(), &[0; 16]),
            incarnation: Incarnation::random(),
            founders: voters.iter().map(ToString::to_string).collect(),
            schema: catalog.summary(),
            voters,
            seen: AtomicU64::new(0),
        }
    }

    pub(super) fn greeting(&self) -> Greeting {
        Greeting {
            cluster: self.cluster,
            epoch: Epoch(0),
            incarnation: self.incarnation,
            founders: self.founders.clone(),
            schema: self.schema.clone(),
            counted: 0,
            remembered: None,
            applied: 0,
        }
    }

    pub(super) fn wrap<T>(&self, body: T) -> Envelope<T> {
        Envelope { cluster: self.cluster, epoch: Epoch(0), incarnation: self.incarnation, body }
    }

    pub(super) fn paxos(&self, answer: PaxosAnswer) -> Say {
        Say::This(self.wrap(answer).encode().unwrap())
    }

    pub(super) fn pulse<T: Serialize>(&self, pulse: T) -> Bytes {
        encoded(&Pulse::Within(self.wrap(pulse)))
    }

    /// The greatest ballot that an honest node named so far.
    pub(super) fn seen(&self) -> Ballot {
        self.seen.load(Ordering::Relaxed)
    }

    /// The lowest ballot of this voter above `floor`.
    pub(super) fn own_above(&self, floor: Ballot) -> Ballot {
        self.of_above(&self.me, floor)
    }

    /// The greatest ballot of this voter there is.
    pub(super) fn own_greatest(&self) -> Ballot {
        (0..self.voters.len() as u64)
            .map(|less| u64::MAX - less)
            .find(|b| self.voters.owner(*b) == Some(&self.me))
            .unwrap()
    }

    /// The lowest ballot of `peer` above `floor`.
    pub(super) fn of_above(&self, peer: &PeerId, floor: Ballot) -> Ballot {
        (floor + 1..).find(|ballot| self.voters.owner(*ballot) == Some(peer)).unwrap()
    }

    fn note(&self, asked: &Asked) {
        if let Asked::Paxos(
            PaxosRequest::Prepare { ballot, .. }
            | PaxosRequest::Propose { ballot, .. }
            | PaxosRequest::Commit { ballot, .. }
            | PaxosRequest::CommitById { ballot, .. },
        )
        | Asked::Pulse(PulseRequest::Beat { ballot, .. }) = asked
        {
            self.seen.fetch_max(*ballot, Ordering::Relaxed);
        }
    }

    fn default_answer(&self, asked: &Asked) -> Say {
        match asked {
            Asked::Greeting => Say::This(encoded(&Pulse::<PulseAnswer>::Greeting(Box::new(self.greeting())))),
            Asked::Pulse(PulseRequest::Beat { .. }) => Say::This(self.pulse(PulseAnswer::Beat {
                promised: 0,
                applied: 0,
                durable: 0,
                checkpoints: Vec::new(),
                clock_ms: 0,
            })),
            Asked::Pulse(PulseRequest::Suspect) => {
                Say::This(self.pulse(PulseAnswer::Suspect { agrees: true, decided: 0 }))
            }
            Asked::Pulse(PulseRequest::Succeed { .. }) => Say::This(self.pulse(PulseAnswer::Succeed { agrees: true })),
            Asked::Pulse(PulseRequest::Confirm { .. }) => Say::This(self.pulse(PulseAnswer::Confirm { promised: 0 })),
            Asked::Paxos(_) | Asked::Forward(_) | Asked::Sync(_) => Say::Refuse,
        }
    }
}

pub(super) struct Voter {
    pub(super) papers: Arc<Papers>,
    honest: [PeerId; 2],
    network: Network,
    conduct: Arc<Mutex<Conduct>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Voter {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Voter {
    pub(super) async fn start(identity: &Identity, honest: [(PeerId, Vec<Multiaddr>); 2]) -> Voter {
        let me = identity.peer_id();
        let peers = [honest[0].0, honest[1].0];
        let papers = Arc::new(Papers::new(me, vec![peers[0], peers[1], me]));
        // Its own limits are no obstacle to it.
        let limits =
            NetworkLimits { heartbeat_bytes_max: 1 << 20, forward_bytes_max: 64 << 20, ..NetworkLimits::default() };
        let config = NetworkConfig {
            keypair: identity.keypair().clone(),
            listen: Vec::new(),
            peers: honest.to_vec(),
            limits,
            sockets: Sockets::System,
        };
        let (network, events, driver) = network::start(config).await.unwrap();
        let conduct: Arc<Mutex<Conduct>> = Arc::new(Mutex::new(Box::new(|_, _| None)));
        let tasks = vec![
            tokio::spawn(driver),
            tokio::spawn(converse(Arc::clone(&papers), network.clone(), events, Arc::clone(&conduct))),
        ];
        let voter = Voter { papers, honest: peers, network, conduct, tasks };
        voter.acquainted().await;
        voter
    }

    /// Returns once both honest nodes answer what only an acquaintance is answered.
    pub(super) async fn acquainted(&self) {
        for peer in self.honest {
            let answered = until(async || {
                let beat = self.papers.pulse(PulseRequest::Suspect);
                self.ask(peer, Channel::Heartbeat, beat).await.ok().map(drop)
            });
            answered.await.expect("the voter gets acquainted");
        }
    }

    /// From now on this is how it answers.
    pub(super) fn conduct(&self, conduct: impl FnMut(&Papers, &Asked) -> Option<Say> + Send + 'static) {
        *self.conduct.lock().unwrap() = Box::new(conduct);
    }

    pub(super) fn behave(&self) {
        self.conduct(|_, _| None);
    }

    pub(super) fn ask(
        &self,
        to: PeerId,
        channel: Channel,
        payload: Bytes,
    ) -> impl Future<Output = Result<Bytes, RequestError>> + Send + use<> {
        self.network.request(to, channel, payload, PATIENCE)
    }

    /// The same to both; what they answered.
    pub(super) async fn ask_both(&self, channel: Channel, payload: Bytes) -> [Option<Bytes>; 2] {
        let [one, other] = self.honest.map(|peer| self.ask(peer, channel, payload.clone()));
        let (one, other) = futures::future::join(one, other).await;
        [one.ok(), other.ok()]
    }

    pub(super) async fn paxos(&self, to: PeerId, request: PaxosRequest) -> Option<PaxosAnswer> {
        let answer = self.ask(to, Channel::Paxos, self.papers.wrap(request).encode().unwrap()).await.ok()?;
        Some(opened(&answer))
    }

    pub(super) async fn paxos_both(&self, request: PaxosRequest) -> [Option<PaxosAnswer>; 2] {
        let answers = self.ask_both(Channel::Paxos, self.papers.wrap(request).encode().unwrap()).await;
        answers.map(|answer| answer.map(|answer| opened(&answer)))
    }

    /// Asks for a promise once, whether anybody listens or not.
    pub(super) async fn campaign(&self, round: u64) -> [Option<PaxosAnswer>; 2] {
        let ballot = self.papers.own_above(self.papers.seen());
        self.papers.seen.fetch_max(ballot, Ordering::Relaxed);
        self.paxos_both(PaxosRequest::Prepare { round, ballot }).await
    }

    /// Takes the leadership from whoever has it, by the rules, and then does nothing with it. Both have promised then.
    pub(super) async fn depose(&self, mut round: u64) {
        for _ in 0..DEPOSALS_MAX {
            let answers = self.campaign(round).await;
            if answers.iter().all(|answer| matches!(answer, Some(PaxosAnswer::Promise(_)))) {
                return;
            }
            for answer in answers.into_iter().flatten() {
                match answer {
                    PaxosAnswer::Supplanted { ballot } => drop(self.papers.seen.fetch_max(ballot, Ordering::Relaxed)),
                    PaxosAnswer::Converged { .. } => round += 1,
                    _ => {}
                }
            }
        }
        panic!("the honest nodes promise nothing to a voter that keeps the rules");
    }
}

pub(super) fn encoded<T: Serialize>(message: &T) -> Bytes {
    codec::encode(message).unwrap().into()
}

pub(super) fn opened<T: DeserializeOwned>(bytes: &[u8]) -> T {
    Envelope::<T>::decode(bytes).unwrap().body
}

async fn converse(
    papers: Arc<Papers>,
    network: Network,
    mut events: mpsc::Receiver<NetworkEvent>,
    conduct: Arc<Mutex<Conduct>>,
) {
    let mut held = VecDeque::new();
    while let Some(event) = events.recv().await {
        match event {
            NetworkEvent::Connected(peer) => {
                let greeting = encoded(&Pulse::<PulseRequest>::Greeting(Box::new(papers.greeting())));
                tokio::spawn(network.request(peer, Channel::Heartbeat, greeting, PATIENCE));
            }
            NetworkEvent::Disconnected(_) => {}
            NetworkEvent::Request(Inbound { channel, payload, reply, .. }) => {
                let asked = understood(channel, &payload);
                papers.note(&asked);
                let say = (conduct.lock().unwrap())(&papers, &asked);
                match say.unwrap_or_else(|| papers.default_answer(&asked)) {
                    Say::This(bytes) => reply.send(bytes),
                    Say::Refuse => reply.refuse("no"),
                    Say::Nothing => {
                        held.push_back(reply);
                        held.truncate(HELD_MAX);
                    }
                }
            }
        }
    }
}

fn understood(channel: Channel, payload: &[u8]) -> Asked {
    match channel {
        Channel::Paxos => Asked::Paxos(opened(payload)),
        Channel::Forward => Asked::Forward(opened(payload)),
        Channel::Sync => Asked::Sync(opened(payload)),
        Channel::Client => panic!("a member asks nothing as a client"),
        Channel::Heartbeat => match codec::decode::<Pulse<PulseRequest>>(payload).unwrap() {
            Pulse::Greeting(_) => Asked::Greeting,
            Pulse::Within(envelope) => Asked::Pulse(envelope.body),
            other => panic!("a voter is asked {other:?}"),
        },
    }
}
