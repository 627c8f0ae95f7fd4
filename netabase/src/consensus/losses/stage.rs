//! One real node among voters that a test plays by hand.
//!
//! ```text
//! test ──Prepare, Propose, Commit──▶ node ──▶ its held disks       node ──Prepare, Propose──▶ Puppet::asked ──▶ test
//! ```
//! Must hold: a puppet answers only what does not matter to the test (greetings, beats, questions, catch-up) by itself.
//! Nothing waits by sleeping; that something does *not* happen is looked at after a sync is known to be held and the
//! node has answered a good number of later messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;

use crate::command::{Command, Entry, SessionId, Write};
use crate::consensus::fixture::batch;
use crate::consensus::id::{Ballot, ClusterId, Epoch, Incarnation, Round, Voters};
use crate::consensus::leadership::Timing;
use crate::consensus::log::Mirror;
use crate::consensus::message::{
    AcceptedRow, Envelope, Greeting, PaxosAnswer, PaxosRequest, Pulse, PulseAnswer, PulseRequest, SyncAnswer,
    SyncRequest,
};
use crate::consensus::replica::Replica;
use crate::handle::Netabase;
use crate::network::{Channel, Identity, Network, NetworkEvent, Reply, RequestError};
use crate::node::{Assembly, Limits, Node, Tuning, Wire};
use crate::schema::{Catalog, RecordId, codec};
use crate::store::StoreKind;
use crate::testing::fixture::Item;
use crate::testing::{Cluster, Disks, Fabric, ForgetfulDisk, Unsynced};

const DEADLINE: Duration = Duration::from_secs(20);
/// After so many answered messages, an answer that does not wait for the disk would have left.
const PROBES: usize = 20;
const ASKED_MAX: usize = 4_096;

/// A node that follows whoever speaks, and never campaigns.
pub(super) fn patient() -> Tuning {
    let hour = Duration::from_secs(3_600);
    Tuning { timing: Timing { beat: Duration::from_millis(50), silence: hour, jitter: hour }, ..Tuning::default() }
}

/// A node that campaigns as soon as the others agree. An answer that is kept from it is waited for.
pub(super) fn eager() -> Tuning {
    let timing = Timing {
        beat: Duration::from_millis(20),
        silence: Duration::from_millis(100),
        jitter: Duration::from_millis(5),
    };
    Tuning { timing, vote_timeout: Duration::from_secs(15), request_timeout: Duration::from_secs(30) }
}

/// The node, its disks and its place among the voters.
pub(super) struct Stage {
    pub(super) fabric: Fabric,
    pub(super) voters: Voters,
    pub(super) place: usize,
    pub(super) tuning: Tuning,
    identities: Vec<Identity>,
    disks: Disks,
    node: Option<Arc<Node>>,
    catalog: Catalog,
}

impl Stage {
    /// Starts the node at this place of so many voters; the puppets know it and are known to it.
    pub(super) async fn start(voters: usize, place: usize, tuning: Tuning) -> (Stage, Vec<Puppet>) {
        let mut identities: Vec<Identity> = (0..voters).map(|_| Identity::generate()).collect();
        let list = Voters::new(identities.iter().map(Identity::peer_id).collect());
        identities.sort_by_key(|identity| list.position(&identity.peer_id()));
        let mut stage = Stage {
            fabric: Fabric::new(0),
            voters: list,
            place,
            tuning,
            identities,
            disks: Disks::new(),
            node: None,
            catalog: Catalog::of::<Item>().unwrap(),
        };
        let puppets: Vec<Puppet> =
            (0..voters).filter(|&other| other != place).map(|other| Puppet::join(&stage, other)).collect();
        stage.restart(&puppets).await;
        (stage, puppets)
    }

    pub(super) fn me(&self) -> PeerId {
        self.identities[self.place].peer_id()
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("the node runs")
    }

    pub(super) fn handle(&self) -> Netabase<Item> {
        Netabase::of(Arc::clone(self.node()))
    }

    pub(super) fn log_disk(&self) -> ForgetfulDisk {
        self.disks.log()
    }

    pub(super) fn store_disk(&self) -> ForgetfulDisk {
        self.disks.store()
    }

    pub(super) fn lose_log(&self) {
        self.disks.lose_log();
    }

    /// Looks at what is durable in the node's log.
    pub(super) fn durable<T>(&self, look: impl FnOnce(&Mirror) -> T) -> T {
        self.replica().log().durable(look)
    }

    pub(super) fn applied(&self) -> Round {
        self.replica().applied()
    }

    fn replica(&self) -> Arc<Replica> {
        self.node().replica().expect("the node runs")
    }

    pub(super) async fn crash(&mut self, unsynced: Unsynced) {
        self.fabric.cut(self.me());
        self.disks.power_cut(unsynced);
        self.node.take().expect("the node runs").kill().await;
    }

    pub(super) async fn restart(&mut self, puppets: &[Puppet]) {
        let (network, events) = self.fabric.join(self.me());
        let assembly = Assembly {
            catalog: self.catalog.clone(),
            identity: self.identities[self.place].clone(),
            peers: self.voters.iter().map(|peer| (*peer, Vec::new())).collect(),
            volume: Arc::new(self.disks.clone()),
            wire: Wire::Joined(network, events),
            store: StoreKind::Redb,
            limits: Limits::default(),
            tuning: self.tuning,
        };
        self.node = Some(Node::start(assembly).await.expect("the node starts"));
        for puppet in puppets {
            puppet.greet().await;
        }
    }

    /// A greeting as the voter at `place` says it.
    fn greeting(&self, incarnation: Incarnation) -> Greeting {
        Greeting {
            cluster: ClusterId::of(&self.voters, &self.catalog.fingerprint()),
            epoch: Epoch(0),
            incarnation,
            founders: self.voters.iter().map(ToString::to_string).collect(),
            schema: self.catalog.summary(),
            counted: 0,
            remembered: None,
            applied: 0,
        }
    }

    pub(super) async fn until(&self, condition: impl Fn(&Node) -> bool) {
        until(|| condition(self.node())).await;
    }

    /// Waits until the node has a sync of its log under way, which does not end.
    pub(super) async fn until_log_held(&self) {
        let disk = self.log_disk();
        until(|| disk.syncs_held() > 0).await;
    }

    /// Has the node elected by puppets that have accepted nothing; they accept everything until it leads.
    pub(super) async fn elect(&self, puppets: &mut [Puppet]) {
        for puppet in &*puppets {
            puppet.script().agrees = true;
        }
        serve(puppets, || self.node().standing().leads).await;
    }
}

/// How a puppet answers what its test does not look at.
pub(super) struct Script {
    pub(super) greeting: Greeting,
    /// Whether it has not heard from a leader either.
    pub(super) agrees: bool,
    /// The ballot that it has promised, as it says to a beat.
    pub(super) promised: Ballot,
    /// The chosen rows that it serves, from round 1 on.
    pub(super) chosen: Vec<AcceptedRow>,
    /// The ballots of the beats that it heard.
    pub(super) beats: Vec<Ballot>,
    /// How often it was asked whether it hears a leader.
    pub(super) questions: usize,
}

/// A voter whose votes the test writes.
pub(super) struct Puppet {
    pub(super) peer: PeerId,
    to: PeerId,
    network: Network,
    script: Arc<Mutex<Script>>,
    /// What the node asks of its acceptor.
    pub(super) asked: mpsc::Receiver<Asked>,
}

/// A request of the node, to answer or not.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: PaxosRequest,
    envelope: Envelope<()>,
    reply: Reply,
}

impl Asked {
    /// Answers from the directory that the puppet has.
    pub(super) fn answer(self, answer: PaxosAnswer) {
        let Envelope { cluster, epoch, incarnation, .. } = self.envelope;
        self.reply.send(Envelope { cluster, epoch, incarnation, body: answer }.encode().unwrap());
    }

    /// Round, ballot and entry of a proposal.
    pub(super) fn proposal(&self) -> (Round, Ballot, Entry) {
        match &self.request {
            PaxosRequest::Propose { round, ballot, entry } => (*round, *ballot, entry.clone()),
            other => panic!("not a proposal: {other:?}"),
        }
    }

    /// Round and ballot of a prepare.
    pub(super) fn prepare(&self) -> (Round, Ballot) {
        match &self.request {
            PaxosRequest::Prepare { round, ballot } => (*round, *ballot),
            other => panic!("not a prepare: {other:?}"),
        }
    }

    /// What a voter says that has accepted nothing.
    pub(super) fn agree(self) {
        let answer = match self.request {
            PaxosRequest::Prepare { .. } => PaxosAnswer::Promise(Vec::new()),
            PaxosRequest::Propose { .. } => PaxosAnswer::Accepted,
            PaxosRequest::Commit { .. } | PaxosRequest::CommitById { .. } => PaxosAnswer::Committed,
        };
        self.answer(answer);
    }
}

impl Puppet {
    fn join(stage: &Stage, place: usize) -> Puppet {
        Puppet::of(stage, stage.identities[place].peer_id(), u8::try_from(place).unwrap() + 100)
    }

    /// Somebody who is no voter, with an otherwise faultless greeting.
    pub(super) fn stranger(stage: &Stage) -> Puppet {
        Puppet::of(stage, PeerId::random(), 99)
    }

    fn of(stage: &Stage, peer: PeerId, incarnation: u8) -> Puppet {
        let (network, mut events) = stage.fabric.join(peer);
        let incarnation = Incarnation([incarnation; 16]);
        let script = Script {
            greeting: stage.greeting(incarnation),
            agrees: false,
            promised: 0,
            chosen: Vec::new(),
            beats: Vec::new(),
            questions: 0,
        };
        let script = Arc::new(Mutex::new(script));
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        let plays = Arc::clone(&script);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let NetworkEvent::Request(inbound) = event else { continue };
                let mut script = plays.lock().unwrap_or_else(PoisonError::into_inner);
                match inbound.channel {
                    Channel::Heartbeat => script.pulse(&inbound.payload, inbound.reply),
                    Channel::Sync => script.sync(&inbound.payload, inbound.reply),
                    Channel::Forward => {}
                    Channel::Paxos => {
                        let Envelope { body, .. } = Envelope::<PaxosRequest>::decode(&inbound.payload).unwrap();
                        let asked = Asked { request: body, envelope: script.envelope(()), reply: inbound.reply };
                        ask.try_send(asked).expect("the test looks at what it is asked");
                    }
                }
            }
        });
        Puppet { peer, to: stage.me(), network, script, asked }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says who it is until the node answers, which then knows it.
    pub(super) async fn greet(&self) -> Greeting {
        let greeting = Pulse::<PulseRequest>::Greeting(Box::new(self.script().greeting.clone()));
        let payload = Bytes::from(codec::encode(&greeting).unwrap());
        loop {
            let answer = self.network.request(self.to, Channel::Heartbeat, payload.clone(), DEADLINE).await;
            if let Ok(Pulse::<PulseAnswer>::Greeting(greeting)) = codec::decode(&answer.expect("the node is up")) {
                return *greeting;
            }
        }
    }

    /// Asks for a vote, and lets the answer come in its own time.
    pub(super) fn ask(&self, request: PaxosRequest) -> Voting {
        let payload = self.script().envelope(request).encode().unwrap();
        let answer = self.network.request(self.to, Channel::Paxos, payload, DEADLINE);
        Voting(tokio::spawn(async move { answer.await.map(|bytes| Envelope::decode(&bytes).unwrap().body) }))
    }

    pub(super) async fn prepare(&self, round: Round, ballot: Ballot) -> Result<PaxosAnswer, RequestError> {
        self.ask(PaxosRequest::Prepare { round, ballot }).answer().await
    }

    pub(super) async fn propose(
        &self,
        round: Round,
        ballot: Ballot,
        entry: &Entry,
    ) -> Result<PaxosAnswer, RequestError> {
        self.ask(PaxosRequest::Propose { round, ballot, entry: entry.clone() }).answer().await
    }

    pub(super) async fn commit(
        &self,
        round: Round,
        ballot: Ballot,
        entry: &Entry,
    ) -> Result<PaxosAnswer, RequestError> {
        self.ask(PaxosRequest::Commit { round, ballot, entry: entry.clone() }).answer().await
    }

    /// Shows the node that it leads.
    pub(super) async fn beat(&self, ballot: Ballot, decided: Round) -> PulseAnswer {
        self.pulse(PulseRequest::Beat { ballot, decided, held: 0 }).await
    }

    async fn pulse(&self, request: PulseRequest) -> PulseAnswer {
        let payload = Bytes::from(codec::encode(&Pulse::Within(self.script().envelope(request))).unwrap());
        let answer =
            self.network.request(self.to, Channel::Heartbeat, payload, DEADLINE).await.expect("the node is up");
        match codec::decode(&answer).unwrap() {
            Pulse::Within(Envelope { body, .. }) => body,
            Pulse::Greeting(_) => panic!("a greeting in answer to a pulse"),
        }
    }

    /// The chosen rows that the node serves.
    pub(super) async fn sync(&self, from: Round) -> SyncAnswer {
        let payload = self.script().envelope(SyncRequest { from, bytes_max: 1 << 20 }).encode().unwrap();
        let answer = self.network.request(self.to, Channel::Sync, payload, DEADLINE).await.expect("the node is up");
        Envelope::decode(&answer).unwrap().body
    }

    /// Has the node answer so many other messages that whatever it was about to say has been said.
    pub(super) async fn probe(&self) {
        for _ in 0..PROBES {
            self.pulse(PulseRequest::Suspect).await;
        }
    }

    /// The next request of the node that is a prepare; the rest is agreed to.
    pub(super) async fn asked_to_promise(&mut self) -> Asked {
        self.asked_for(|request| matches!(request, PaxosRequest::Prepare { .. })).await
    }

    /// The next request of the node that is a proposal; the rest is agreed to.
    pub(super) async fn asked_to_accept(&mut self) -> Asked {
        self.asked_for(|request| matches!(request, PaxosRequest::Propose { .. })).await
    }

    /// The next proposal for a round above this one: not what is left of an earlier round that needed no more votes.
    pub(super) async fn asked_to_accept_above(&mut self, applied: Round) -> Asked {
        self.asked_for(|request| matches!(request, PaxosRequest::Propose { round, .. } if *round > applied)).await
    }

    async fn asked_for(&mut self, wanted: impl Fn(&PaxosRequest) -> bool) -> Asked {
        let waiting = async {
            loop {
                let asked = self.asked.recv().await.expect("the puppet plays");
                if wanted(&asked.request) {
                    return asked;
                }
                asked.agree();
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("the node asks")
    }

    /// What the node has asked by now, commits left out.
    pub(super) fn asked_by_now(&mut self) -> Vec<Asked> {
        let mut asked = Vec::new();
        while let Ok(next) = self.asked.try_recv() {
            match next.request {
                PaxosRequest::Prepare { .. } | PaxosRequest::Propose { .. } => asked.push(next),
                PaxosRequest::Commit { .. } | PaxosRequest::CommitById { .. } => next.agree(),
            }
        }
        asked
    }
}

impl Script {
    pub(super) fn envelope<T>(&self, body: T) -> Envelope<T> {
        let Greeting { cluster, epoch, incarnation, .. } = self.greeting;
        Envelope { cluster, epoch, incarnation, body }
    }

    fn pulse(&mut self, payload: &[u8], reply: Reply) {
        let answer = match codec::decode::<Pulse<PulseRequest>>(payload).unwrap() {
            Pulse::Greeting(_) => Pulse::Greeting(Box::new(self.greeting.clone())),
            Pulse::Within(Envelope { body: PulseRequest::Suspect, .. }) => {
                self.questions += 1;
                Pulse::Within(self.envelope(PulseAnswer::Suspect { agrees: self.agrees, decided: 0 }))
            }
            Pulse::Within(Envelope { body: PulseRequest::Beat { ballot, .. }, .. }) => {
                self.beats.push(ballot);
                let promised = self.promised.max(ballot);
                Pulse::Within(self.envelope(PulseAnswer::Beat { promised, applied: 0, durable: 0 }))
            }
        };
        reply.send(Bytes::from(codec::encode(&answer).unwrap()));
    }

    fn sync(&self, payload: &[u8], reply: Reply) {
        let Envelope { body: SyncRequest { from, .. }, .. } = Envelope::decode(payload).unwrap();
        let rows: Vec<AcceptedRow> = self.chosen.iter().filter(|row| row.round >= from).cloned().collect();
        let through = self.chosen.last().map_or(0, |row| row.round);
        reply.send(self.envelope(SyncAnswer { rows, through }).encode().unwrap());
    }
}

/// A vote that was asked for.
pub(super) struct Voting(tokio::task::JoinHandle<Result<PaxosAnswer, RequestError>>);

impl Voting {
    pub(super) fn is_open(&self) -> bool {
        !self.0.is_finished()
    }

    pub(super) async fn answer(self) -> Result<PaxosAnswer, RequestError> {
        self.0.await.expect("the task that waits does not panic")
    }
}

/// Agrees to whatever the node asks until the condition holds.
pub(super) async fn serve(puppets: &mut [Puppet], condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to that in time");
        for puppet in &mut *puppets {
            while let Ok(asked) = puppet.asked.try_recv() {
                asked.agree();
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Looks again and again until the condition holds.
pub(super) async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to that in time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Writes as often as it takes: whether anything works again is the question, not how fast.
pub(super) async fn put_at_last(cluster: &Cluster<Item>, place: usize, id: u64) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) = cluster.node(place).put_record(item(id)).await {
        assert!(Instant::now() < deadline, "it did not come to that in time: {error}");
    }
}

pub(super) fn item(id: u64) -> Item {
    Item { id, name: format!("name {id}") }
}

/// The session that [`opening`] opens when it is chosen for this round.
pub(super) fn session(round: Round) -> SessionId {
    SessionId { round, position: 0 }
}

pub(super) fn opening(n: u64) -> Entry {
    batch(n, &[Command::Open { nonce: [n.to_be_bytes()[7]; 16] }])
}

/// An entry that puts this item under a session's number.
pub(super) fn putting(n: u64, session: SessionId, number: u64, item: &Item) -> Entry {
    let value = Bytes::from(crate::Record::__encode(item).unwrap());
    let write = Write::Put { record: RecordId::of_member::<Item, Item>(), value };
    batch(n, &[Command::Execute { session, number, floor: number, action: write.into() }])
}
