//! Too much, too large, or not to be read: on every channel.

use bytes::Bytes;
use futures::stream::{self, StreamExt};

use super::isolated::isolated;
use super::siege::Siege;
use super::voter::{Asked, Say, opened};
use crate::command::{COMMANDS_MAX, Command, SessionId, Write, entry_bytes_max};
use crate::consensus::message::{AcceptedRow, ForwardAnswer, ForwardRequest, SyncAnswer, SyncRequest};
use crate::network::Channel;
use crate::schema::RecordId;

#[test]
fn bytes_that_are_no_message_are_refused_on_every_channel() {
    isolated("floods::bytes_that_are_no_message_are_refused_on_every_channel", async || {
        let mut siege = Siege::start().await;
        let mut pattern = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            pattern = pattern.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (pattern >> 24) as u8
        })
        .take(60_000)
        .collect();
        for channel in Channel::ALL {
            for bytes in [&noise[..0], &noise[..1], &noise[..], &[0; 40], &[0xff; 40_000], &[1; 500]] {
                let answers = siege.voter.ask_both(channel, Bytes::copy_from_slice(bytes)).await;
                assert_eq!(answers, [None, None], "{channel:?}, {} bytes", bytes.len());
            }
            siege.stands(&format!("noise on {channel:?}")).await;
        }
        // More than the channel carries: the connection is closed, and another one opened.
        for channel in [Channel::Heartbeat, Channel::Forward] {
            let bytes = if channel == Channel::Heartbeat { 100 << 10 } else { 8 << 20 };
            siege.voter.ask_both(channel, vec![0; bytes].into()).await;
            siege.stands(&format!("a frame over the limit on {channel:?}")).await;
            siege.voter.acquainted().await;
        }
        siege.end().await;
    });
}

fn put(session: SessionId, value_bytes: usize) -> Bytes {
    let write = Write::Put { record: RecordId(1), value: vec![1; value_bytes].into() };
    Command::Execute { session, number: u64::MAX, floor: u64::MAX, action: write.into() }.encode().as_bytes().clone()
}

#[test]
fn forwarded_commands_that_cannot_be_are_refused() {
    isolated("floods::forwarded_commands_that_cannot_be_are_refused", async || {
        let mut siege = Siege::start().await;
        let session = SessionId { round: u64::MAX, position: u32::MAX };
        let fits = entry_bytes_max(1 << 20);
        let open = Command::Open { nonce: [1; 16] }.encode().as_bytes().clone();
        for (what, refused, commands) in [
            ("nothing", false, Vec::new()),
            ("commands that do not decode", true, vec![Bytes::from_static(b"\xff\xff")]),
            ("one that does not decode among others", true, vec![open.clone(), Bytes::new(), open.clone()]),
            ("too many", true, vec![open.clone(); COMMANDS_MAX + 1]),
            ("one over every limit", true, vec![put(session, 2 << 20)]),
            ("one just over the limit", true, vec![Bytes::from([&put(session, 0)[..], &vec![1; fits]].concat())]),
            ("one as large as an entry", true, vec![exactly(session, fits)]),
            ("one of a session that never was", false, vec![put(session, 10)]),
            (
                "the end of a session that never was",
                false,
                vec![Command::Close { session }.encode().as_bytes().clone()],
            ),
            ("a record that does not decode", false, vec![put(SessionId { round: 1, position: 0 }, 100)]),
        ] {
            let leader = siege.leader().await;
            let payload = siege.voter.papers.wrap(ForwardRequest::Commands(commands)).encode().unwrap();
            for (place, answer) in siege.voter.ask_both(Channel::Forward, payload).await.into_iter().enumerate() {
                let answer: ForwardAnswer = opened(&answer.expect("it is answered"));
                if place == leader && siege.leader().await == leader {
                    let taken = answer == ForwardAnswer::Taken;
                    assert_eq!(taken, !refused, "{what}: {answer:?}");
                } else {
                    assert!(answer != ForwardAnswer::Taken || place != leader, "{what}: {answer:?}");
                }
            }
            siege.stands(&format!("forwarded: {what}")).await;
        }
        siege.end().await;
    });
}

/// A command of this many bytes.
fn exactly(session: SessionId, bytes: usize) -> Bytes {
    put(session, bytes - put(session, 0).len())
}

#[test]
fn forwarded_commands_in_great_number_are_bounded() {
    isolated("floods::forwarded_commands_in_great_number_are_bounded", async || {
        let mut siege = Siege::start().await;
        let commands = vec![put(SessionId { round: 1, position: 0 }, 10); COMMANDS_MAX];
        let payload = siege.voter.papers.wrap(ForwardRequest::Commands(commands)).encode().unwrap();
        let leader = siege.peers()[siege.leader().await];
        let asked = stream::iter(0..16).map(|_| siege.voter.ask(leader, Channel::Forward, payload.clone()));
        asked.buffer_unordered(30).collect::<Vec<_>>().await;
        siege.stands("sixteen times as many commands as fit into an entry").await;
        siege.end().await;
    });
}

#[test]
fn pages_of_absurd_ranges_are_empty_and_pages_that_lie_are_dropped() {
    isolated("floods::pages_of_absurd_ranges_are_empty_and_pages_that_lie_are_dropped", async || {
        let mut siege = Siege::start().await;
        for (from, bytes_max) in [(0, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX / 2, 1), (1, u64::MAX), (1, 0)]
        {
            let payload = siege.voter.papers.wrap(SyncRequest::Rows { from, bytes_max }).encode().unwrap();
            for answer in siege.voter.ask_both(Channel::Sync, payload).await {
                let SyncAnswer::Rows { rows, .. } = opened(&answer.expect("it is answered")) else { panic!("no rows") };
                assert!(rows.iter().zip(0..).all(|(row, after)| row.round == from + after));
            }
            siege.stands(&format!("a page from {from} of {bytes_max} bytes")).await;
        }
        let entry =
            crate::command::Entry { id: crate::command::EntryId::from_bytes([3; 24]), body: vec![1; 2 << 20].into() };
        let rows = |rounds: Vec<u64>| -> Vec<AcceptedRow> {
            rounds.into_iter().map(|round| AcceptedRow { round, ballot: u64::MAX, entry: entry.clone() }).collect()
        };
        for (what, rows) in
            [("no rows, but as many as there are", rows(vec![])), ("other rounds", rows(vec![0, u64::MAX]))]
        {
            // Whoever thinks that it lags asks in turn; here both are made to think so.
            siege.voter.conduct(move |papers, asked| match asked {
                Asked::Sync(_) => Some(Say::This(
                    papers.wrap(SyncAnswer::Rows { rows: rows.clone(), through: u64::MAX / 2 - 1 }).encode().unwrap(),
                )),
                _ => None,
            });
            let mut claim = siege.voter.papers.greeting();
            claim.applied = 1 << 40;
            let claim =
                crate::consensus::message::Pulse::<crate::consensus::message::PulseRequest>::Greeting(Box::new(claim));
            siege.voter.ask_both(Channel::Heartbeat, super::voter::encoded(&claim)).await;
            siege.stands("a claim of rounds that are not there").await;
            siege.voter.depose(siege.applied().await + 1).await;
            siege.stands(&format!("pages of {what}")).await;
        }
        siege.end().await;
    });
}
