//! The mirror is held against paxakos' own snapshot, byte by byte, and then against what the log holds.

use super::*;
use crate::consensus::fixture::{entry, open_log};
use crate::consensus::log::Log;
use crate::testing::ForgetfulDisk;

/// What the keeper is given, as far as paxakos lets nobody look.
fn look(log: &Log, base: u64) -> SnapshotMirror {
    let snapshot = log.durable(|log| resume(log, Base(base), 3)).unwrap();
    assert_eq!(snapshot.round(), 0);
    assert!(snapshot.state().is_some());
    let VersionedMirror::V1(mirror) = codec::decode(&codec::encode(&snapshot).unwrap()).unwrap();
    assert!(matches!(mirror.participation, ParticipationMirror::Active));
    mirror
}

fn entries(mirror: &SnapshotMirror) -> Vec<(u64, Ballot, Entry)> {
    mirror.accepted_entries.iter().map(|(round, (ballot, entry))| (*round, *ballot, Entry::clone(entry))).collect()
}

#[test]
fn the_mirror_has_the_bytes_of_paxakos() {
    let frozen = FrozenStub(Stub::new(5));
    let theirs = codec::encode(&Snapshot::initial_with(frozen.clone())).unwrap();
    let ours = VersionedMirror::V1(SnapshotMirror {
        round: 0,
        state: Some(Arc::new(frozen)),
        greatest_observed_round_num: None,
        greatest_observed_coord_num: 1,
        participation: ParticipationMirror::Active,
        promises: BTreeMap::from([(0, 1)]),
        accepted_entries: BTreeMap::new(),
    });
    assert_eq!(codec::encode(&ours).unwrap(), theirs);
    // The other kinds of participation too, though they are never written: a shift among them would show.
    let stale = Snapshot::initial_with(FrozenStub(Stub::new(5))).into_stale();
    let VersionedMirror::V1(read) = codec::decode(&codec::encode(&stale).unwrap()).unwrap();
    assert!(
        matches!(read.participation, ParticipationMirror::Passive { observed_proposals } if observed_proposals.is_empty())
    );
}

#[test]
fn accepted_entries_survive_the_way_through_paxakos() {
    let accepted = BTreeMap::from([(3, (7, Arc::new(entry(1)))), (9, (8, Arc::new(entry(2))))]);
    let ours = VersionedMirror::V1(SnapshotMirror {
        round: 2,
        state: None,
        greatest_observed_round_num: Some(9),
        greatest_observed_coord_num: 8,
        participation: ParticipationMirror::PartiallyActive(4),
        promises: BTreeMap::from([(0, 2), (4, 8)]),
        accepted_entries: accepted,
    });
    let bytes = codec::encode(&ours).unwrap();
    let theirs: Snapshot = codec::decode(&bytes).unwrap();
    assert_eq!(theirs.round(), 2);
    assert_eq!(codec::encode(&theirs).unwrap(), bytes);
}

/// D5: an empty map of promises panics, a promise of 0 grants polls.
#[tokio::test]
async fn an_empty_log_promises_1() {
    let mirror = look(&open_log(&ForgetfulDisk::new()), 0);
    assert_eq!(mirror.promises, BTreeMap::from([(0, 1)]));
    assert_eq!(mirror.greatest_observed_coord_num, 1);
    assert_eq!(mirror.greatest_observed_round_num, Some(0));
    assert!(mirror.accepted_entries.is_empty());
}

/// D5 and D6: one promise, of the greatest number; and the next ballot is a fresh one.
#[tokio::test]
async fn the_greatest_ballot_binds_and_is_not_used_again() {
    let log = open_log(&ForgetfulDisk::new());
    log.promise(5).await.unwrap();
    log.accept(1, 8, entry(1)).await.unwrap();
    log.promise(3).await.unwrap();
    let mirror = look(&log, 0);
    assert_eq!(mirror.promises, BTreeMap::from([(0, 8)]));
    assert_eq!(mirror.greatest_observed_coord_num, 9);
}

/// D7: rounds are counted from the base, what is chosen but not applied is kept, what is applied is not shown.
#[tokio::test]
async fn what_was_accepted_above_the_base_is_remembered_at_its_distance() {
    let log = open_log(&ForgetfulDisk::new());
    for round in 1..=4 {
        log.accept(round, 2, entry(round)).await.unwrap();
    }
    log.accept(6, 5, entry(6)).await.unwrap();
    log.chosen(1, entry(1)).unwrap();
    log.chosen(2, entry(2)).unwrap();
    log.barrier().await.unwrap();
    let mirror = look(&log, 2);
    assert_eq!(entries(&mirror), [(1, 2, entry(3)), (2, 2, entry(4)), (4, 5, entry(6))]);
    assert_eq!(mirror.greatest_observed_round_num, Some(4));
    let farther = look(&log, 4);
    assert_eq!(entries(&farther), [(2, 5, entry(6))]);
}
