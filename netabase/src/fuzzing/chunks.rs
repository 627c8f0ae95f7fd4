//! A snapshot that comes in pieces, in any order of pieces, lies, restarts and power cuts: it is built exactly if every byte
//! of it is there and right.

use std::cell::OnceCell;
use std::sync::Arc;

use super::archive::sound;
use super::input::Input;
use super::sample::{CLUSTER, SESSION, catalog, entry, execute, flush, founders, note, open, put};
use crate::command::Command;
use crate::consensus::fuzz::is_piece;
use crate::consensus::{Epoch, Incoming, Installation};
use crate::machine::{CHUNK_BYTES, SnapshotId};
use crate::node::fuzz::Receiver;
use crate::storage::MemoryEngine;
use crate::testing::{ForgetfulDisk, Unsynced};

const OPERATIONS_MAX: usize = 40;

/// One of three pieces: the record, its index row, and the change. Made once.
fn large() -> (SnapshotId, Vec<u8>) {
    thread_local! {
        static FILE: OnceCell<(SnapshotId, Vec<u8>)> = const { OnceCell::new() };
    }
    let made = || {
        let mut machine = open(Arc::new(MemoryEngine::default()));
        machine.apply(1, &entry(&[Command::Open { nonce: [1; 16] }])).expect("memory reads");
        assert_eq!(SESSION.round, 1);
        let command = execute(1, 1, put(&note(1, "large", &[3; 800_000])).into());
        machine.apply(2, &entry(&[command])).expect("memory reads");
        flush(&mut machine);
        let file = ForgetfulDisk::new();
        let packed = machine.durable_state().pack(CLUSTER, &file, &|| true).expect("memory takes it");
        let mut bytes = vec![0; usize::try_from(packed.id.bytes).expect("it is in memory")];
        redb::StorageBackend::read(&file, 0, &mut bytes).expect("memory reads");
        assert_eq!(packed.chunks.len(), 3);
        (packed.id, bytes)
    };
    FILE.with(|file| file.get_or_init(made).clone())
}

pub fn chunks(data: &[u8]) {
    let mut input = Input::new(data);
    let (id, bytes) = if input.byte() % 8 == 7 { large() } else { sound() };
    let mut receiver = Receiver::new(CLUSTER, catalog(), founders());
    let mut incoming: Option<(SnapshotId, Box<dyn Incoming>)> = None;
    // What was handed over under the id that is being received, and all that ever was: removals may be lost with the power.
    let mut handed = (id, Vec::new());
    let mut ever: Vec<(SnapshotId, Vec<u8>)> = Vec::new();
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            return;
        }
        match input.byte() % 10 {
            0 => {
                let id = of_peer(id, &mut input);
                if let Ok(begun) = receiver.files().receive(id) {
                    let kept = receiver.part();
                    assert_eq!(begun.received(), kept.len() as u64);
                    assert!(begun.received() <= id.bytes);
                    let was_handed = ever.iter().any(|(of, bytes)| *of == id && bytes.starts_with(&kept));
                    assert!(kept.is_empty() || was_handed, "what is gone on with was handed over for this snapshot");
                    handed = (id, kept);
                    incoming = Some((id, begun));
                }
            }
            choice @ 1..=5 => {
                let Some((id, begun)) = &mut incoming else { continue };
                let piece = piece(choice, &bytes, begun.received(), &mut input);
                let hash = *blake3::hash(&piece).as_bytes();
                if is_piece(*id, begun.received(), &piece, &hash) && begun.append(&piece).is_ok() {
                    handed.1.extend_from_slice(&piece);
                    assert_eq!(begun.received(), handed.1.len() as u64);
                    ever.push(handed.clone());
                }
            }
            6 => incoming = None,
            7 => {
                incoming = None;
                receiver.files().discard().expect("memory takes it");
                handed.1.clear();
            }
            8 => {
                incoming = None;
                let unsynced = match input.byte() % 3 {
                    0 => Unsynced::Lost,
                    1 => Unsynced::Kept,
                    _ => Unsynced::Torn { seed: u64::from(input.byte()) },
                };
                receiver.disks.power_cut(unsynced);
                receiver = receiver.restarted(CLUSTER);
            }
            _ => {
                incoming = None;
                let right = handed.0 == id && receiver.part() == bytes;
                let built = receiver.files().build(handed.0);
                assert_eq!(built.is_ok(), right, "{built:?}");
                if right {
                    return installed(&receiver, id);
                }
            }
        }
    }
}

/// What a peer says that it has.
fn of_peer(id: SnapshotId, input: &mut Input<'_>) -> SnapshotId {
    match input.byte() % 8 {
        0 => SnapshotId { round: input.number(), ..id },
        1 => SnapshotId { hash: [input.byte(); 32], ..id },
        2 => SnapshotId { bytes: input.number(), ..id },
        3 => SnapshotId { bytes: u64::from(input.byte()), ..id },
        _ => id,
    }
}

fn piece(choice: u8, bytes: &[u8], here: u64, input: &mut Input<'_>) -> Vec<u8> {
    let from = usize::try_from(here).unwrap_or(usize::MAX).min(bytes.len());
    let mut piece = bytes[from..bytes.len().min(from.saturating_add(CHUNK_BYTES))].to_vec();
    match choice {
        // As it is.
        1..=3 => {}
        // Of the right length, and wrong.
        4 => {
            let at = input.below(piece.len());
            if let Some(byte) = piece.get_mut(at) {
                *byte ^= input.byte();
            }
        }
        // Of any length.
        _ => {
            piece.truncate(input.below(CHUNK_BYTES));
            piece.extend_from_slice(input.block());
        }
    }
    piece
}

fn installed(receiver: &Receiver, id: SnapshotId) {
    let installation = Installation { round: id.round, epoch: Epoch(0), chosen: 0, ballot: 0 };
    let machine = receiver.files().install(installation).expect("it was built");
    assert_eq!(machine.applied(), id.round);
    let hash = machine.state().hash().expect("it reads");
    drop(machine);
    receiver.files().finish().expect("memory takes it");
    assert_eq!(receiver.open().state().hash().expect("it reads"), hash);
}
