//! Outcomes of calls that their callers named: a call that is repeated, by whomever and wherever, is done once.
//!
//! Must hold: it is a function of the log alone; the outcomes of the last [`REQUESTS_MAX`] named calls are kept, in log
//! order, and an older one is a new call. Kept in memory, written as one row a request at the next flush; the machine is
//! the only caller.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::sessions::Place;
use crate::Error;
use crate::command::{Outcome, RequestId};
use crate::schema::codec;
use crate::storage::{Rows, StoreError, layout};

/// How many outcomes are kept.
pub(crate) const REQUESTS_MAX: usize = 65_536;

/// What became of a named call, and where in the log it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    place: Place,
    outcome: Outcome,
}

/// A named call as of one round; `None`: it is forgotten.
pub(super) type Dirty = (RequestId, Option<Recorded>);

/// The outcomes that are kept.
pub(super) struct Requests {
    /// Cheap to clone, so that a hash takes them as they are.
    known: OrdMap<RequestId, Recorded>,
    by_place: BTreeMap<Place, RequestId>,
    /// Those that differ from their rows in the store.
    dirty: BTreeSet<RequestId>,
    max: usize,
}

impl Requests {
    /// Reads the outcomes that the store holds.
    pub(super) fn load(rows: &dyn Rows, max: usize) -> Result<Requests, Error> {
        let mut requests = Requests { known: OrdMap::new(), by_place: BTreeMap::new(), dirty: BTreeSet::new(), max };
        for row in rows.scan_prefix(&[layout::SPACE_REQUEST])? {
            let (key, value) = row?;
            let damaged = |what: &str| StoreError::Damaged(format!("a request's row {what}"));
            let id = layout::split_request_key(&key).ok_or_else(|| damaged("has another key than a request"))?;
            let recorded: Recorded =
                codec::decode(&value).map_err(|error| damaged(&format!("does not decode: {error}")))?;
            if requests.by_place.insert(recorded.place, RequestId(id)).is_some() {
                return Err(damaged("has the place of another one").into());
            }
            requests.known.insert(RequestId(id), recorded);
        }
        Ok(requests)
    }

    /// What became of this call when it was done before.
    pub(super) fn outcome(&self, id: &RequestId) -> Option<&Outcome> {
        self.known.get(id).map(|recorded| &recorded.outcome)
    }

    /// Keeps the outcome of a call that was not known, and forgets the oldest beyond the bound.
    pub(super) fn record(&mut self, id: RequestId, place: Place, outcome: Outcome) {
        self.known.insert(id, Recorded { place, outcome });
        self.by_place.insert(place, id);
        self.dirty.insert(id);
        while self.known.len() > self.max {
            let Some((_, oldest)) = self.by_place.pop_first() else { return };
            self.known.remove(&oldest);
            self.dirty.insert(oldest);
        }
    }

    /// What changed since it was last asked, as of now.
    pub(super) fn take_dirty(&mut self) -> Vec<Dirty> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|id| (id, self.known.get(&id).cloned())).collect()
    }

    /// All of them, as of now.
    pub(super) fn capture(&self) -> Captured {
        Captured(self.known.clone())
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

/// The outcomes as of one round.
pub(super) struct Captured(OrdMap<RequestId, Recorded>);

impl Captured {
    /// Their rows, in order, the same bytes on every node.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<(Bytes, Option<Bytes>), Error>> {
        self.0.iter().map(|(id, recorded)| row(&(*id, Some(recorded.clone()))))
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Captured").field(&self.0.len()).finish()
    }
}

/// The row of a named call.
pub(super) fn row((id, recorded): &Dirty) -> Result<(Bytes, Option<Bytes>), Error> {
    let value = recorded
        .as_ref()
        .map(|recorded| {
            codec::encode(recorded)
                .map(Bytes::from)
                .map_err(|error| StoreError::Failed(format!("a request's outcome cannot be written: {error}")))
        })
        .transpose()?;
    Ok((layout::request_key(id.0), value))
}

#[cfg(test)]
mod tests;
