//! Waking a keeper up from the acceptor log (D5, D6, D7).
//!
//! paxakos resumes from a `Snapshot` whose fields are private but which is serde: a mirror of its shape, written and
//! read back through the codec, becomes one. A test holds the mirror against paxakos' own snapshot.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::Ballot;
use super::log::Mirror;
use super::paxakos_types::{Base, FrozenStub, Stub};
use crate::command::Entry;
use crate::schema::codec::{self, CodecError};

pub(crate) type Snapshot = paxakos::node::Snapshot<Stub, u64, u64>;

/// The shape of `paxakos::node::Snapshot` 0.13.
#[derive(Serialize, Deserialize)]
enum VersionedMirror {
    V1(SnapshotMirror),
}

#[derive(Serialize, Deserialize)]
struct SnapshotMirror {
    round: u64,
    state: Option<Arc<FrozenStub>>,
    greatest_observed_round_num: Option<u64>,
    greatest_observed_coord_num: Ballot,
    participation: ParticipationMirror,
    promises: BTreeMap<u64, Ballot>,
    accepted_entries: BTreeMap<u64, (Ballot, Arc<Entry>)>,
}

/// Only `Active` is ever written: paxakos' passive mode is not used (D9).
#[derive(Serialize, Deserialize)]
enum ParticipationMirror {
    Active,
    PartiallyActive(u64),
    Passive { observed_proposals: HashSet<(u64, Ballot)> },
}

/// The snapshot with which the keeper resumes at `base`, the last applied round, from what the log holds.
pub(crate) fn resume(log: &Mirror, base: Base, voters: usize) -> Result<Snapshot, CodecError> {
    let accepted: BTreeMap<u64, (Ballot, Arc<Entry>)> = log
        .accepted_from(base.0 + 1)
        .filter_map(|row| base.local(row.round).map(|local| (local, (row.ballot, Arc::new(row.entry)))))
        .collect();
    let mirror = SnapshotMirror {
        round: 0,
        state: Some(Arc::new(FrozenStub(Stub::new(voters)))),
        greatest_observed_round_num: Some(accepted.keys().next_back().copied().unwrap_or(0)),
        // D6: a ballot is never used again, also when it was granted but led to nothing.
        greatest_observed_coord_num: log.ballot().saturating_add(1),
        participation: ParticipationMirror::Active,
        // D5: one number an epoch; an empty map panics, a 0 would grant polls.
        promises: BTreeMap::from([(0, log.ballot().max(1))]),
        accepted_entries: accepted,
    };
    let bytes = codec::encode(&VersionedMirror::V1(mirror))?;
    codec::decode(&bytes)
}

#[cfg(test)]
mod tests;
