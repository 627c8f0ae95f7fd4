//! Peers that no founder list names: whatever they send, it reaches nothing.

use bytes::Bytes;
use libp2p::Multiaddr;

use super::isolated::isolated;
use super::siege::Siege;
use super::voter::{Papers, encoded};
use crate::command::{BatchBuilder, Command, Entry, EntryId};
use crate::consensus::message::{
    AcceptedRow, ForwardRequest, PaxosAnswer, PaxosRequest, Pulse, PulseRequest, SyncRequest,
};
use crate::network::{self, Channel, Identity, NetworkConfig, NetworkEvent, NetworkLimits, Sockets};

const CONNECTIONS: usize = 3;

/// Every input that can do harm somewhere, as a voter would word it.
pub(super) fn inputs(papers: &Papers, round: u64) -> Vec<(&'static str, Channel, Bytes)> {
    let mut batch = BatchBuilder::new();
    assert!(batch.push(&Command::Open { nonce: [8; 16] }.encode()));
    let entry = Entry { id: EntryId::from_bytes([8; 24]), body: batch.finish() };
    let ballot = papers.own_above(1_000);
    let paxos = |request: PaxosRequest| (Channel::Paxos, papers.wrap(request).encode().unwrap());
    let row = AcceptedRow { round, ballot, entry: entry.clone() };
    let open = Command::Open { nonce: [8; 16] }.encode().as_bytes().clone();
    [
        ("a greeting", (Channel::Heartbeat, encoded(&Pulse::<PulseRequest>::Greeting(Box::new(papers.greeting()))))),
        ("a prepare", paxos(PaxosRequest::Prepare { round, ballot })),
        ("a prepare under the greatest ballot", paxos(PaxosRequest::Prepare { round, ballot: papers.own_greatest() })),
        ("a poll", paxos(PaxosRequest::Prepare { round, ballot: 0 })),
        ("a proposal", paxos(PaxosRequest::Propose { round, ballot, entry: entry.clone() })),
        ("a far proposal", paxos(PaxosRequest::Propose { round: round + 10_000_000, ballot, entry: entry.clone() })),
        ("a commit", paxos(PaxosRequest::Commit { round, ballot, entry: entry.clone() })),
        ("a far commit", paxos(PaxosRequest::Commit { round: round + 10_000_000, ballot, entry: entry.clone() })),
        ("a commit by id", paxos(PaxosRequest::CommitById { round, ballot, id: entry.id })),
        ("an answer", (Channel::Paxos, papers.wrap(PaxosAnswer::Promise(vec![row])).encode().unwrap())),
        (
            "a beat",
            (Channel::Heartbeat, papers.pulse(PulseRequest::Beat { ballot, decided: round, held: round, word: None })),
        ),
        ("a question", (Channel::Heartbeat, papers.pulse(PulseRequest::Suspect))),
        ("a command", (Channel::Forward, papers.wrap(ForwardRequest::Commands(vec![open])).encode().unwrap())),
        ("a page", (Channel::Sync, papers.wrap(SyncRequest::Rows { from: 1, bytes_max: 1 << 20 }).encode().unwrap())),
    ]
    .into_iter()
    .map(|(what, (channel, bytes))| (what, channel, bytes))
    .collect()
}

/// A stranger with the papers of the true voter, over this kind of socket.
async fn strangers_over(siege: &mut Siege, socket: &str) {
    let applied = siege.applied().await;
    for place in [0, 1] {
        let peer = siege.peers()[place];
        let listening = siege.nodes[place].status().await.unwrap().listen_addresses;
        let address: Multiaddr = listening.into_iter().find(|address| address.to_string().contains(socket)).unwrap();
        for _ in 0..CONNECTIONS {
            let inputs = inputs(&siege.voter.papers, applied + 1);
            let config = NetworkConfig {
                keypair: Identity::generate().keypair().clone(),
                listen: Vec::new(),
                peers: vec![(peer, vec![address.clone()])],
                limits: NetworkLimits::default(),
                sockets: Sockets::System,
            };
            let (network, mut events, driver) = network::start(config).await.unwrap();
            let driver = tokio::spawn(driver);
            let mut connections = 0;
            while connections < 3 {
                match events.recv().await.unwrap() {
                    NetworkEvent::Connected(_) => {
                        connections += 1;
                        let asked = inputs.iter().map(|(what, channel, bytes)| {
                            let answer =
                                network.request(peer, *channel, bytes.clone(), std::time::Duration::from_secs(5));
                            async move { (what, answer.await) }
                        });
                        for (what, answer) in futures::future::join_all(asked).await {
                            assert!(answer.is_err(), "a stranger's {what} is answered over {socket}");
                        }
                    }
                    NetworkEvent::Disconnected(_) => {}
                    NetworkEvent::Request(request) => panic!("a stranger is asked: {request:?}"),
                }
            }
            driver.abort();
            siege.stands(&format!("a stranger over {socket}")).await;
        }
    }
}

#[test]
fn over_tcp_reach_nothing() {
    isolated("strangers::over_tcp_reach_nothing", async || {
        let mut siege = Siege::start().await;
        strangers_over(&mut siege, "/tcp/").await;
        siege.end().await;
    });
}

#[test]
fn over_quic_reach_nothing() {
    isolated("strangers::over_quic_reach_nothing", async || {
        let mut siege = Siege::start().await;
        strangers_over(&mut siege, "/quic-v1").await;
        siege.end().await;
    });
}
