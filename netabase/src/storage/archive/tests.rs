use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::storage::{MemoryEngine, RedbEngine, Store};
use crate::testing::ForgetfulDisk;

const CLUSTER: [u8; 16] = [7; 16];
/// The end mark and the number of rows.
const END_BYTES: usize = 4 + 8;
const ON: fn() -> bool = || true;

type Rows = BTreeMap<Bytes, Bytes>;

fn engine_of(of: &Rows) -> MemoryEngine {
    let engine = MemoryEngine::default();
    let meta = (layout::meta_key(layout::META_DESCRIPTOR), Some(Bytes::from_static(b"the schema")));
    let rows = of.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
    let mut sum = Sum::default();
    let covered = |(key, _): &(&Bytes, &Bytes)| Sum::covers(key);
    of.iter().filter(covered).for_each(|(key, value)| sum.add(key, value));
    engine.write(&mut rows.chain([meta, applied_row(9), sum.row()]), true).expect("memory takes it");
    engine
}

fn state_of(engine: &dyn Engine) -> DurableState {
    DurableState::new(engine.snapshot().expect("a snapshot"), 9, Lease::default())
}

fn packed(rows: &Rows) -> (ForgetfulDisk, Packed) {
    let file = ForgetfulDisk::new();
    let packed = state_of(&engine_of(rows)).pack(CLUSTER, &file, &ON).expect("it is written");
    (file, packed)
}

fn bytes_of(file: &ForgetfulDisk) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().expect("a length")).expect("it is short")];
    file.read(0, &mut bytes).expect("it reads");
    bytes
}

fn file_of(bytes: &[u8]) -> ForgetfulDisk {
    let file = ForgetfulDisk::new();
    write(&file, 0, bytes).expect("it takes it");
    file
}

fn all(engine: &dyn Engine) -> Rows {
    let snapshot = engine.snapshot().expect("a snapshot");
    let rows = snapshot.scan(Bound::Unbounded, Bound::Unbounded, false).expect("a scan");
    rows.collect::<Result<_, _>>().expect("rows")
}

fn unpacked(file: &ForgetfulDisk) -> Result<Rows, ArchiveError> {
    let engine = MemoryEngine::default();
    Unpacking::begin(file)?.into_engine(&engine, b"node", &ON)?;
    Ok(all(&engine))
}

fn few() -> Rows {
    (0..40_u8).map(|n| (Bytes::copy_from_slice(&[1, n]), Bytes::from(vec![n; usize::from(n)]))).collect()
}

fn any_rows() -> impl Strategy<Value = Rows> {
    let row = (1..7_u8, prop::collection::vec(any::<u8>(), 0..12), prop::collection::vec(any::<u8>(), 0..60));
    let row = row.prop_map(|(space, key, value)| (Bytes::from([vec![space], key].concat()), Bytes::from(value)));
    prop::collection::btree_map(row.clone().prop_map(|row| row.0), row.prop_map(|row| row.1), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_come_back_as_they_were(rows in any_rows()) {
        let (file, packed) = packed(&rows);
        prop_assert_eq!(packed.id.bytes, file.len().expect("a length"));
        let mut found = unpacked(&file).expect("it is sound");
        let meta = found.split_off(&layout::meta_key("")[..]);
        prop_assert_eq!(found, rows);
        let names: Vec<&[u8]> = meta.keys().map(|key| &key[1..]).collect();
        prop_assert_eq!(names, [&b"applied"[..], b"descriptor", b"format", b"keeper", b"sum"]);
        prop_assert_eq!(check(&file, &ON).expect("it is sound").round, 9);
    }

    #[test]
    fn nothing_that_was_changed_is_believed(rows in any_rows(), at in any::<prop::sample::Index>(), by in 1..=u8::MAX) {
        let mut bytes = bytes_of(&packed(&rows).0);
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(unpacked(&file_of(&bytes)).is_err());
    }
}

#[test]
fn every_cut_and_every_flipped_bit_is_an_error() {
    let bytes = bytes_of(&packed(&few()).0);
    for length in 0..bytes.len() {
        assert!(check(&file_of(&bytes[..length]), &ON).is_err(), "cut to {length}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&file_of(&bytes), &ON).is_err(), "bit {bit}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(check(&file_of(&longer), &ON).is_err(), "something behind its end");
}

/// A lying peer can make up a hash; what it claims must cost no memory all the same, and rows must be in order.
#[test]
fn a_file_that_lies_under_a_right_hash_is_refused() {
    let sealed = |rows: &[u8], count: u64| {
        let head = bytes_of(&packed(&Rows::new()).0);
        let head = &head[..head.len() - END_BYTES - HASH_BYTES];
        let body = [head, rows, &END.to_be_bytes(), &count.to_be_bytes()].concat();
        file_of(&[&body[..], blake3::hash(&body).as_bytes()].concat())
    };
    let row = |key: &[u8]| [&(key.len() as u32).to_be_bytes()[..], &0_u32.to_be_bytes(), key].concat();
    assert_eq!(check(&sealed(&row(&[3, 2]), 1), &ON).expect("as it should be").cluster, CLUSTER);
    for (what, file) in [
        ("a row twice", sealed(&[row(&[3]), row(&[3])].concat(), 2)),
        ("rows in reverse", sealed(&[row(&[4]), row(&[3])].concat(), 2)),
        ("a row without a key", sealed(&row(&[]), 1)),
        ("a meta row", sealed(&row(&layout::meta_key(layout::META_APPLIED)), 1)),
        ("another number of rows", sealed(&row(&[3]), 2)),
        ("a row longer than the file", sealed(&[0, 0, 0, 9, 0xff, 0xff, 0xff, 0xf0], 1)),
        ("a row longer than any", sealed(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1)),
    ] {
        assert!(matches!(check(&file, &ON), Err(ArchiveError::Damaged(_))), "{what}");
    }
}

/// Whoever takes it over counts on from its round.
#[test]
fn a_round_greater_than_any_is_refused() {
    let of_round = |round| {
        let engine = engine_of(&few());
        let state = DurableState::new(engine.snapshot().expect("a snapshot"), round, Lease::default());
        let file = ForgetfulDisk::new();
        state.pack(CLUSTER, &file, &ON).expect("it is written");
        check(&file, &ON)
    };
    assert_eq!(of_round(ROUND_MAX).expect("it is the greatest").round, ROUND_MAX);
    assert!(matches!(of_round(ROUND_MAX + 1), Err(ArchiveError::Damaged(_))));
    assert!(matches!(of_round(u64::MAX), Err(ArchiveError::Damaged(_))));
}

#[test]
fn the_same_rows_are_the_same_bytes_and_every_piece_has_its_hash() {
    let rows: Rows = (0..700_u32)
        .map(|n| (Bytes::from([&[1][..], &n.to_be_bytes()].concat()), Bytes::from(vec![3; 5_000])))
        .collect();
    let (file, packed) = packed(&rows);
    let bytes = bytes_of(&file);
    assert_eq!(packed.chunks.len(), bytes.len().div_ceil(CHUNK_BYTES));
    for (piece, hash) in bytes.chunks(CHUNK_BYTES).zip(&packed.chunks) {
        assert_eq!(blake3::hash(piece).as_bytes(), hash);
    }
    // Through a file on another engine, and back.
    let engine = RedbEngine::open_backend(ForgetfulDisk::new()).expect("a new database");
    Unpacking::begin(&file).expect("a header").into_engine(&engine, b"node", &ON).expect("it is sound");
    let store = Store::open(Arc::new(engine)).expect("it is a store");
    assert_eq!((store.applied(), store.durable_round()), (9, 9));
    let again = ForgetfulDisk::new();
    assert_eq!(store.durable_state().pack(CLUSTER, &again, &ON).expect("it is written"), packed);
    assert!(bytes_of(&again) == bytes);
}

#[test]
fn a_full_disk_and_an_end_are_told_apart_from_damage() {
    let full = ForgetfulDisk::new();
    full.limit_bytes(Some(100));
    assert!(matches!(state_of(&engine_of(&few())).pack(CLUSTER, &full, &ON), Err(ArchiveError::Disk(_))));
    let stopped = state_of(&engine_of(&few())).pack(CLUSTER, &ForgetfulDisk::new(), &|| false);
    assert!(matches!(stopped, Err(ArchiveError::Stopped)));
}
