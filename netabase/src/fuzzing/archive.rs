//! Snapshot files and backups: any bytes; any rows under a right hash, which a lying peer can make; a sound file, changed.

use std::cell::OnceCell;
use std::sync::Arc;

use redb::StorageBackend;

use super::input::Input;
use super::sample::{CLUSTER, exercise, machine};
use crate::machine::SnapshotId;
use crate::schema::codec;
use crate::storage::archive::{self, Header, Unpacking};
use crate::storage::{Engine, MemoryEngine, Store, Sum};
use crate::testing::ForgetfulDisk;

/// What a file begins with; the length of the header follows.
const HEAD: &[u8] = b"netasnap\0\0\0\x02";
const HASH_BYTES: usize = 32;
const END_BYTES: usize = 4 + 8;
const ON: fn() -> bool = || true;

pub fn archive(data: &[u8]) {
    let mut input = Input::new(data);
    let _is_sound = match input.byte() % 4 {
        0 => unpack(input.rest()),
        1 => unpack(&sealed(input.rest())),
        2 => unpack(&sealed(&of_rows(&mut input))),
        _ => changed(&mut input),
    };
}

/// With the hash that it must end with.
pub(super) fn sealed(bytes: &[u8]) -> Vec<u8> {
    [bytes, blake3::hash(bytes).as_bytes()].concat()
}

/// Rows of the input, in a file that fits them.
fn of_rows(input: &mut Input<'_>) -> Vec<u8> {
    let (mut rows, mut count, mut sum) = (Vec::new(), 0_u64, Sum::default());
    while !input.is_empty() {
        let (key, value) = (input.block(), input.block());
        for part in [key, value] {
            rows.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
        }
        rows.extend([key, value].concat());
        if Sum::covers(key) {
            sum.add(key, value);
        }
        count += 1;
    }
    let mut header = header();
    header.sum = sum;
    let header = codec::encode(&header).expect("what was read can be written");
    let length = u32::try_from(header.len()).unwrap_or(0).to_be_bytes();
    [HEAD, &length, &header, &rows, &[0xff; 4], &count.to_be_bytes()].concat()
}

/// A sound file; made once.
pub(super) fn sound() -> (SnapshotId, Vec<u8>) {
    thread_local! {
        static FILE: OnceCell<(SnapshotId, Vec<u8>)> = const { OnceCell::new() };
    }
    let made = || {
        let file = ForgetfulDisk::new();
        let packed = machine().durable_state().pack(CLUSTER, &file, &ON).expect("memory takes it");
        (packed.id, bytes_of(&file))
    };
    FILE.with(|file| file.get_or_init(made).clone())
}

fn header() -> Header {
    let file = file_of(&sound().1);
    Unpacking::begin(&file).expect("it is sound").header().clone()
}

/// The sound file without its end, for seeds.
pub(super) fn unended() -> Vec<u8> {
    let bytes = sound().1;
    bytes[..bytes.len() - HASH_BYTES - END_BYTES].to_vec()
}

fn bytes_of(file: &dyn StorageBackend) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().expect("memory reads")).expect("it is in memory")];
    file.read(0, &mut bytes).expect("memory reads");
    bytes
}

fn file_of(bytes: &[u8]) -> ForgetfulDisk {
    let file = ForgetfulDisk::new();
    archive::write(&file, 0, bytes).expect("memory takes it");
    file
}

/// Checks and unpacks; what passes is opened, and packed again to the same rows.
fn unpack(bytes: &[u8]) -> bool {
    let file = file_of(bytes);
    let checked = archive::check(&file, &ON);
    let engine = Arc::new(MemoryEngine::default());
    let unpacked = Unpacking::begin(&file).and_then(|rows| rows.into_engine(&*engine, b"node", &ON));
    assert_eq!(checked.is_ok(), unpacked.is_ok(), "{checked:?} {unpacked:?}");
    let (Ok(header), Ok(again)) = (checked, unpacked) else { return false };
    assert_eq!(header, again);
    if let Ok(store) = Store::open(Arc::clone(&engine) as Arc<dyn Engine>) {
        assert_eq!(store.durable_round(), header.round);
        let packed = ForgetfulDisk::new();
        store.durable_state().pack(header.cluster, &packed, &ON).expect("memory takes it");
        let packed = bytes_of(&packed);
        // A header can be written in more than one way.
        let theirs = u32::from_be_bytes(*bytes[12..].first_chunk().expect("it was read")) as usize;
        let canonical = codec::encode(&header).expect("what was read can be written");
        if bytes[16..16 + theirs] == canonical {
            assert!(packed == bytes, "the same rows are the same bytes");
        }
    }
    exercise(engine);
    true
}

/// Whatever is changed in a sound file is noticed.
fn changed(input: &mut Input<'_>) -> bool {
    let sound = sound().1;
    let mut bytes = sound.clone();
    while !input.is_empty() && !bytes.is_empty() {
        let at = input.below(bytes.len());
        match input.byte() % 6 {
            0 | 1 => bytes[at] ^= input.byte(),
            2 => bytes.truncate(at),
            3 => bytes.extend_from_slice(input.block()),
            4 => {
                let block = input.block();
                bytes.splice(at..at, block.iter().copied());
            }
            _ => {
                let end = (at + usize::from(input.byte())).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
    let is_sound = unpack(&bytes);
    assert_eq!(is_sound, bytes == sound);
    is_sound
}
