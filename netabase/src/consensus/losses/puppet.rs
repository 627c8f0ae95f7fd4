//! A voter that a test plays by hand, against the node of a [`Stage`].
//!
//! Must hold: it answers by itself only what does not matter to the test: greetings, beats, questions, catch-up, and
//! confirms unless they are held. Votes are the test's to write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::stage::{DEADLINE, Stage};
use crate::command::Entry;
use crate::consensus::id::{Ballot, Incarnation, Round};
use crate::consensus::message::{
    AcceptedRow, Envelope, ForwardAnswer, ForwardRequest, Greeting, PaxosAnswer, PaxosRequest, Pulse, PulseAnswer,
    PulseRequest, SyncAnswer, SyncRequest,
};
use crate::machine::{CHUNK_BYTES, SnapshotId};
use crate::network::{Channel, Network, NetworkEvent, Reply, RequestError};
use crate::schema::codec;

/// After so many answered messages, an answer that does not wait for the disk would have left.
const PROBES: usize = 20;
const ASKED_MAX: usize = 4_096;

/// How a puppet answers what its test does not look at.
pub(super) struct Script {
    pub(super) greeting: Greeting,
    /// Whether it has not heard from a leader either.
    pub(super) agrees: bool,
    /// Whether it succeeds a leader that stops, and how often it was told to.
    pub(super) succeeds: bool,
    pub(super) told: usize,
    /// The round that it has applied, as it says to a beat.
    pub(super) applied: Round,
    /// The ballot that it has promised, as it says to a beat.
    pub(super) promised: Ballot,
    /// The ballot under which it has spoken last, as it says to a confirm.
    pub(super) spoken: Ballot,
    /// Whether it leaves confirms to the test, and those that it has left.
    pub(super) holds_confirms: bool,
    pub(super) confirms: Vec<Reply>,
    /// How many confirms it was asked for.
    pub(super) confirms_heard: usize,
    /// What it answers to who asks it for a read index.
    pub(super) index: ForwardAnswer,
    /// The chosen rows that it serves, from round 1 on.
    pub(super) chosen: Vec<AcceptedRow>,
    /// The snapshot that it serves; its log then begins behind it.
    pub(super) snapshot: Option<(SnapshotId, Vec<u8>)>,
    /// The places of the pieces that it was asked for, and how many of them it gives before it has none any more.
    pub(super) pieces: Vec<u64>,
    pub(super) pieces_max: usize,
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

/// Chosen rows that the node serves, and how far it says they reach.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) rows: Vec<AcceptedRow>,
    pub(super) through: Round,
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
    pub(super) fn join(stage: &Stage, place: usize) -> Puppet {
        Puppet::of(stage, stage.peer(place), u8::try_from(place).unwrap() + 100)
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
            succeeds: false,
            told: 0,
            applied: 0,
            promised: 0,
            spoken: 0,
            holds_confirms: false,
            confirms: Vec::new(),
            confirms_heard: 0,
            index: ForwardAnswer::not_leader(None),
            chosen: Vec::new(),
            snapshot: None,
            pieces: Vec::new(),
            pieces_max: usize::MAX,
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
                    Channel::Forward => script.forward(&inbound.payload, inbound.reply),
                    Channel::Client => inbound.reply.refuse("no"),
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

    /// Whether the node takes its greeting.
    pub(super) async fn is_greeted(&self) -> bool {
        let greeting = Pulse::<PulseRequest>::Greeting(Box::new(self.script().greeting.clone()));
        let payload = Bytes::from(codec::encode(&greeting).unwrap());
        self.network.request(self.to, Channel::Heartbeat, payload, DEADLINE).await.is_ok()
    }

    /// Whether the node takes this command to propose it, or would, if it led.
    pub(super) async fn forwards(&self, command: Bytes) -> bool {
        let payload = self.script().envelope(ForwardRequest::Commands(vec![command])).encode().unwrap();
        self.network.request(self.to, Channel::Forward, payload, DEADLINE).await.is_ok()
    }

    /// Whether the node answers its question for chosen rows.
    pub(super) async fn is_served_rows(&self) -> bool {
        let request = SyncRequest::Rows { from: 1, bytes_max: 1 << 20 };
        let payload = self.script().envelope(request).encode().unwrap();
        self.network.request(self.to, Channel::Sync, payload, DEADLINE).await.is_ok()
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
        self.pulse(PulseRequest::Beat { ballot, decided, held: 0, word: None }).await
    }

    /// Asks the node, as its leader, to succeed it.
    pub(super) async fn tell_to_succeed(&self, ballot: Ballot, decided: Round) -> bool {
        match self.pulse(PulseRequest::Succeed { ballot, decided }).await {
            PulseAnswer::Succeed { agrees } => agrees,
            other => panic!("not an answer to that: {other:?}"),
        }
    }

    /// Asks the node, as its leader, to confirm a ballot; nothing when it says nothing.
    pub(super) async fn confirm(&self, ballot: Ballot) -> Option<Ballot> {
        let confirm = PulseRequest::Confirm { ballot };
        let payload = Bytes::from(codec::encode(&Pulse::Within(self.script().envelope(confirm))).unwrap());
        let answer = self.network.request(self.to, Channel::Heartbeat, payload, DEADLINE).await.ok()?;
        match codec::decode(&answer).unwrap() {
            Pulse::Within(Envelope { body: PulseAnswer::Confirm { promised }, .. }) => Some(promised),
            other => panic!("not an answer to a confirm: {other:?}"),
        }
    }

    /// Asks the node, as one of its followers, for a read index.
    pub(super) async fn index(&self) -> ForwardAnswer {
        let payload = self.script().envelope(ForwardRequest::Read).encode().unwrap();
        let answer = self.network.request(self.to, Channel::Forward, payload, DEADLINE).await.expect("the node is up");
        Envelope::decode(&answer).unwrap().body
    }

    async fn pulse(&self, request: PulseRequest) -> PulseAnswer {
        let payload = Bytes::from(codec::encode(&Pulse::Within(self.script().envelope(request))).unwrap());
        let answer =
            self.network.request(self.to, Channel::Heartbeat, payload, DEADLINE).await.expect("the node is up");
        match codec::decode(&answer).unwrap() {
            Pulse::Within(Envelope { body, .. }) => body,
            other => panic!("not an answer to a pulse: {other:?}"),
        }
    }

    /// The chosen rows that the node serves.
    pub(super) async fn sync(&self, from: Round) -> Served {
        match self.ask_sync(SyncRequest::Rows { from, bytes_max: 1 << 20 }).await {
            SyncAnswer::Rows { rows, through } => Served { rows, through },
            other => panic!("no rows: {other:?}"),
        }
    }

    /// What the node says to a node that is behind.
    pub(super) async fn ask_sync(&self, request: SyncRequest) -> SyncAnswer {
        let payload = self.script().envelope(request).encode().unwrap();
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

    /// Waits until the node says that this round is decided.
    pub(super) async fn decided(&mut self, round: Round) {
        self.asked_for(|request| match request {
            PaxosRequest::Commit { round: decided, .. } | PaxosRequest::CommitById { round: decided, .. } => {
                *decided == round
            }
            _ => false,
        })
        .await
        .agree();
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
                Pulse::Within(self.envelope(PulseAnswer::Beat {
                    promised,
                    applied: self.applied,
                    durable: 0,
                    checkpoints: Vec::new(),
                    clock_ms: 0,
                }))
            }
            Pulse::Within(Envelope { body: PulseRequest::Succeed { .. }, .. }) => {
                self.told += 1;
                Pulse::Within(self.envelope(PulseAnswer::Succeed { agrees: self.succeeds }))
            }
            Pulse::Within(Envelope { body: PulseRequest::Confirm { .. }, .. }) => {
                self.confirms_heard += 1;
                if self.holds_confirms {
                    self.confirms.push(reply);
                } else {
                    self.answer_confirm(reply);
                }
                return;
            }
            Pulse::Knock(_) | Pulse::Answered(_) => return,
        };
        reply.send(Bytes::from(codec::encode(&answer).unwrap()));
    }

    /// Answers the confirms that were left to the test, as of now.
    pub(super) fn confirm(&mut self) {
        for reply in std::mem::take(&mut self.confirms) {
            self.answer_confirm(reply);
        }
    }

    pub(super) fn answer_confirm(&self, reply: Reply) {
        let answer = Pulse::Within(self.envelope(PulseAnswer::Confirm { promised: self.spoken }));
        reply.send(Bytes::from(codec::encode(&answer).unwrap()));
    }

    fn forward(&self, payload: &[u8], reply: Reply) {
        if let Envelope { body: ForwardRequest::Read, .. } = Envelope::decode(payload).unwrap() {
            reply.send(self.envelope(self.index.clone()).encode().unwrap());
        }
    }

    fn sync(&mut self, payload: &[u8], reply: Reply) {
        let Envelope { body, .. } = Envelope::decode(payload).unwrap();
        let answer = match (body, &self.snapshot) {
            (SyncRequest::Rows { from, .. }, Some((id, _))) if from <= id.round => {
                SyncAnswer::Compacted { through: id.round }
            }
            (SyncRequest::Rows { from, .. }, _) => {
                let rows: Vec<AcceptedRow> = self.chosen.iter().filter(|row| row.round >= from).cloned().collect();
                SyncAnswer::Rows { rows, through: self.chosen.last().map_or(0, |row| row.round) }
            }
            (SyncRequest::Snapshot { .. }, Some((id, _))) => SyncAnswer::Snapshot(*id),
            (SyncRequest::Chunk { id, offset }, Some((of, bytes)))
                if id == *of && self.pieces.len() < self.pieces_max =>
            {
                self.pieces.push(offset);
                let rest = &bytes[usize::try_from(offset).unwrap()..];
                let piece = Bytes::copy_from_slice(&rest[..rest.len().min(CHUNK_BYTES)]);
                SyncAnswer::Chunk { hash: *blake3::hash(&piece).as_bytes(), bytes: piece }
            }
            _ => SyncAnswer::NoSnapshot,
        };
        reply.send(self.envelope(answer).encode().unwrap());
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
