//! Messages of voters for `crate::fuzzing`: whatever bytes come, decoding is total, what was decoded survives its bytes, and
//! the guard has an answer to it.

use std::fmt::Debug;

use bytes::Bytes;
use libp2p::PeerId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::{Checkpoint, Word};
use super::guard::{Guard, OPEN_ROUNDS_MAX, ROUNDS_AHEAD};
use super::id::{Ballot, ClusterId, Epoch, Incarnation, Round, Voters};
use super::message::{
    AcceptedRow, Envelope, ForwardAnswer, ForwardRequest, Greeting, Knock, KnockAnswer, PaxosAnswer, PaxosRequest,
    Pulse, PulseAnswer, PulseRequest, SyncAnswer, SyncRequest,
};
use super::{Admission, Charter};
use crate::command::{EncodedCommand, Entry};
use crate::machine::{SnapshotId, Sum};
use crate::schema::{Fingerprint, RecordId, Summary, codec};

pub(crate) use super::log::fuzz as log;
pub(crate) use super::vault::is_piece;

/// How many kinds of message there are.
pub(crate) const KINDS: u8 = 8;

const APPLIED: Round = 10;
const ENTRY_BYTES_MAX: usize = 1 << 10;

/// Decodes a message of the kind; gives the entries and commands in it that the guard lets through.
pub(crate) fn message(kind: u8, bytes: &[u8]) -> (Vec<Entry>, Vec<Bytes>) {
    let (mut entries, mut commands) = (Vec::new(), Vec::new());
    match kind % KINDS {
        0 => entries.extend(within(bytes).and_then(request)),
        1 => entries.extend(within(bytes).into_iter().flat_map(answer)),
        2 => drop(plain::<Pulse<PulseRequest>>(bytes)),
        3 => {
            if let Some(Pulse::Answered(answer)) = plain::<Pulse<PulseAnswer>>(bytes)
                && let KnockAnswer::Admitted(admission) = *answer
            {
                let _ = admission.charter.cluster();
            }
        }
        4 => {
            if let Some(ForwardRequest::Commands(forwarded)) = within(bytes) {
                commands.extend(forwarded.into_iter().filter(|bytes| EncodedCommand::check(bytes.clone()).is_ok()));
            }
        }
        5 => drop(within::<ForwardAnswer>(bytes)),
        6 => drop(within::<SyncRequest>(bytes)),
        _ => {
            if let Some(SyncAnswer::Rows { rows, .. }) = within(bytes) {
                entries.extend(rows.into_iter().map(|row| row.entry));
            }
        }
    }
    entries.retain(|entry| voters_guard(|guard| guard.entry(entry)).is_ok());
    (entries, commands)
}

/// Voters that are the same in every run.
fn peers() -> Vec<PeerId> {
    let key = |byte: u8| libp2p::identity::Keypair::ed25519_from_bytes([byte; 32]).expect("any 32 bytes are a key");
    [1, 2, 3].map(|byte| key(byte).public().to_peer_id()).to_vec()
}

fn voters_guard<T>(look: impl FnOnce(&Guard<'_>) -> T) -> T {
    thread_local! {
        static VOTERS: Voters = Voters::new(peers());
    }
    VOTERS.with(|voters| look(&Guard { voters, applied: APPLIED, ballot: 7, entry_bytes_max: ENTRY_BYTES_MAX }))
}

fn request(request: PaxosRequest) -> Option<Entry> {
    let (round, ballot, entry) = match request {
        PaxosRequest::Prepare { round, ballot } | PaxosRequest::CommitById { round, ballot, .. } => {
            (round, ballot, None)
        }
        PaxosRequest::Propose { round, ballot, entry } | PaxosRequest::Commit { round, ballot, entry } => {
            (round, ballot, Some(entry))
        }
    };
    let sender = |voters: &Voters| voters.owner(ballot).copied();
    let passes = voters_guard(|guard| {
        let from = sender(guard.voters).expect("three voters own every ballot");
        guard.request(&from, round, ballot).is_ok()
    });
    assert!(!passes || (ballot > 0 && round <= APPLIED + ROUNDS_AHEAD));
    entry.filter(|_| passes)
}

fn answer(answer: PaxosAnswer) -> Vec<Entry> {
    match answer {
        PaxosAnswer::Promise(rows) => {
            let passes = voters_guard(|guard| guard.promise(5, 9, &rows).is_ok());
            assert!(!passes || (rows.len() <= OPEN_ROUNDS_MAX && rows.iter().all(|row| row.ballot <= 9)));
            rows.into_iter().filter(|_| passes).map(|row| row.entry).collect()
        }
        PaxosAnswer::Converged { entry, .. } => entry.into_iter().collect(),
        _ => Vec::new(),
    }
}

fn plain<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let message: T = codec::decode(bytes).ok()?;
    let again = codec::encode(&message).expect("what was read can be written");
    assert_eq!(codec::decode::<T>(&again).expect("what was written can be read"), message);
    Some(message)
}

fn within<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    plain::<Envelope<T>>(bytes).map(|envelope| envelope.body)
}

/// A message of each shape, with its kind.
pub(crate) fn seeds(entry: &Entry, commands: Vec<Bytes>) -> Vec<(u8, Vec<u8>)> {
    let (round, ballot, id) = (11, 8 as Ballot, entry.id);
    let entry = || entry.clone();
    let row = || AcceptedRow { round, ballot, entry: entry() };
    let snapshot = SnapshotId { round: 12, hash: [4; 32], bytes: 1 << 21 };
    let life = Some(Incarnation([3; 16]));
    let me = peers()[0].to_bytes();
    let schema = Summary::made_of(&[("note", 1, "abcd"), ("note", 2, "ef01")]);
    let founders: Vec<String> = peers().iter().map(ToString::to_string).collect();
    let greeting = Greeting {
        cluster: ClusterId([1; 16]),
        epoch: Epoch(2),
        incarnation: Incarnation([2; 16]),
        founders: founders.clone(),
        schema: schema.clone(),
        counted: 5,
        remembered: life,
        applied: 10,
    };
    let records = [(RecordId::named("note"), 1)].into();
    let charter = Charter { founders: founders.clone(), salt: [0; 16], schema: Fingerprint([7; 32]), records };
    let peers = vec![(founders[0].clone(), vec!["/ip4/10.0.0.1/tcp/4710".to_owned()])];
    let admission = Admission { charter, cluster: ClusterId([1; 16]), peers };
    let knock = Knock { cluster: ClusterId([1; 16]), member: me.clone(), schema };
    let checkpoint = Checkpoint { round: 8, sum: Sum::default() };
    let mut seeds = Vec::new();
    let mut add = |kind: u8, bytes: Result<Vec<u8>, codec::CodecError>| seeds.push((kind, bytes.expect("it encodes")));
    add(0, sealed(PaxosRequest::Prepare { round, ballot }));
    add(0, sealed(PaxosRequest::Propose { round, ballot, entry: entry() }));
    add(0, sealed(PaxosRequest::Commit { round, ballot, entry: entry() }));
    add(0, sealed(PaxosRequest::CommitById { round, ballot, id }));
    add(1, sealed(PaxosAnswer::Promise(vec![row(), AcceptedRow { round: 12, ..row() }])));
    add(1, sealed(PaxosAnswer::Supplanted { ballot }));
    add(1, sealed(PaxosAnswer::Converged { ballot, entry: Some(entry()) }));
    add(2, codec::encode(&Pulse::<PulseRequest>::Greeting(Box::new(greeting))));
    add(2, codec::encode(&Pulse::<PulseRequest>::Knock(Box::new(knock))));
    add(
        2,
        codec::encode(&Pulse::Within(envelope(PulseRequest::Beat {
            ballot,
            decided: 10,
            held: 9,
            word: Some(Word::Agreed(checkpoint)),
        }))),
    );
    add(2, codec::encode(&Pulse::Within(envelope(PulseRequest::Succeed { ballot, decided: 10 }))));
    add(
        3,
        codec::encode(&Pulse::Within(envelope(PulseAnswer::Beat {
            promised: 8,
            applied: 10,
            durable: 9,
            checkpoints: vec![checkpoint],
            clock_ms: 1_795_000_000_000,
        }))),
    );
    add(3, codec::encode(&Pulse::<PulseAnswer>::Answered(Box::new(KnockAnswer::Admitted(admission)))));
    add(3, codec::encode(&Pulse::<PulseAnswer>::Answered(Box::new(KnockAnswer::Invalid("it is used".into())))));
    add(4, sealed(ForwardRequest::Commands(commands)));
    add(4, sealed(ForwardRequest::Weigh { leaving: me.clone() }));
    add(5, sealed(ForwardAnswer::NotLeader { leader: Some(me) }));
    add(5, sealed(ForwardAnswer::Refused { reason: "it is the last".into() }));
    add(6, sealed(SyncRequest::Rows { from: 11, bytes_max: 1 << 20 }));
    add(6, sealed(SyncRequest::Chunk { id: snapshot, offset: 1 << 20 }));
    add(7, sealed(SyncAnswer::Rows { rows: vec![row()], through: 11 }));
    add(7, sealed(SyncAnswer::Snapshot(snapshot)));
    add(7, sealed(SyncAnswer::Chunk { bytes: Bytes::from_static(b"piece"), hash: [6; 32] }));
    seeds
}

fn envelope<T>(body: T) -> Envelope<T> {
    Envelope { cluster: ClusterId([1; 16]), epoch: Epoch(2), incarnation: Incarnation([2; 16]), body }
}

fn sealed<T: Serialize>(body: T) -> Result<Vec<u8>, codec::CodecError> {
    codec::encode(&envelope(body))
}
