//! Sessions: why a command that is proposed twice is applied once.
//!
//! A session keeps the outcome of each of its writes from the lowest that is still awaited on. What must
//! hold: it is a function of the log alone (no clock, no map without order); everything is bounded, by
//! ending the session that was used least recently in log order. Kept in memory, written as one row a
//! changed session at each flush; the machine is the only caller.
//!
//! A write is judged by its own numbers before the session's, so that each copy of it is judged alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::command::{Outcome, SessionId};
use crate::schema::codec;
use crate::storage::{Rows, StoreError, layout};

/// How many sessions may be open; one more ends the least recently used.
pub(crate) const SESSIONS_MAX: usize = 65_536;

/// How far a write's number may be above its floor, less one: how many a session may await.
pub(crate) const OUTSTANDING_MAX: u64 = 1_024;

/// How much all recorded outcomes may take; more ends the least recently used sessions.
const OUTCOMES_BYTES_MAX: usize = 64 << 20;

/// What an outcome takes beyond its reason, about. Part of the rule: it decides which sessions end.
const OUTCOME_BYTES: usize = 48;

/// What a write is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It was applied or refused, now or when a copy of it came first.
    Done(Outcome),
    /// The session has ended, or never was. A copy of the write may have been applied before.
    SessionGone,
    /// Its outcome was received and forgotten: the number is below the session's floor.
    Stale,
    /// The number is `OUTSTANDING_MAX` or more above its own floor. No copy of it is ever applied.
    TooFarAhead,
}

/// Where in the log something was done: round, and position in the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) round: u64,
    pub(super) position: u32,
}

/// One open session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// Its last use; no two sessions have the same.
    used: Place,
    /// No outcome below is kept. Only rises.
    floor: u64,
    outcomes: BTreeMap<u64, Outcome>,
}

/// How many sessions, outcomes and named calls there may be. The same on every node; smaller only in tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) sessions_max: usize,
    pub(super) outcomes_bytes_max: usize,
    pub(super) requests_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sessions_max: SESSIONS_MAX,
            outcomes_bytes_max: OUTCOMES_BYTES_MAX,
            requests_max: super::requests::REQUESTS_MAX,
        }
    }
}

/// Whether a write is to be executed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Execute,
    Answer(Reply),
}

/// All open sessions.
///
/// Each is behind an `Arc`, so that a flush or a hash takes them all as they are, at the cost of one copy
/// of those that change while it is under way.
#[derive(Default)]
pub(super) struct Sessions {
    open: BTreeMap<SessionId, Arc<Session>>,
    by_use: BTreeMap<Place, SessionId>,
    outcomes_bytes: usize,
    /// Those that differ from their rows in the store.
    dirty: BTreeSet<SessionId>,
    limits: Limits,
}

/// A session as of one round; `None`: it has ended.
pub(super) type Captured = (SessionId, Option<Arc<Session>>);

impl Sessions {
    /// Reads the sessions that the store holds.
    pub(super) fn load(rows: &dyn Rows, limits: Limits) -> Result<Sessions, Error> {
        let mut sessions = Sessions { limits, ..Sessions::default() };
        for row in rows.scan_prefix(&[layout::SPACE_SESSION])? {
            let (key, value) = row?;
            let damaged = |what: &str| StoreError::Damaged(format!("a session's row {what}"));
            let (round, position) =
                layout::split_session_key(&key).ok_or_else(|| damaged("has another key than a session"))?;
            let session: Session =
                codec::decode(&value).map_err(|error| damaged(&format!("does not decode: {error}")))?;
            let id = SessionId { round, position };
            if sessions.by_use.insert(session.used, id).is_some() {
                return Err(damaged("has the last use of another one").into());
            }
            sessions.outcomes_bytes += session.outcomes.values().map(outcome_bytes).sum::<usize>();
            sessions.open.insert(id, Arc::new(session));
        }
        Ok(sessions)
    }

    /// Opens a session named by the place of its command.
    pub(super) fn open(&mut self, place: Place) -> SessionId {
        while self.open.len() >= self.limits.sessions_max {
            self.end_least_recently_used();
        }
        let id = SessionId { round: place.round, position: place.position };
        self.open.insert(id, Arc::new(Session { used: place, floor: 0, outcomes: BTreeMap::new() }));
        self.by_use.insert(place, id);
        self.dirty.insert(id);
        id
    }

    /// Ends a session. Of one that is not open, nothing.
    pub(super) fn close(&mut self, id: SessionId) {
        if let Some(session) = self.open.remove(&id) {
            self.by_use.remove(&session.used);
            self.outcomes_bytes -= session.outcomes.values().map(outcome_bytes).sum::<usize>();
            self.dirty.insert(id);
        }
    }

    /// Decides whether a write at `place` is executed, and forgets the outcomes below its floor.
    pub(super) fn admit(&mut self, id: SessionId, number: u64, floor: u64, place: Place) -> Admission {
        let Some(session) = self.open.get_mut(&id) else {
            return Admission::Answer(Reply::SessionGone);
        };
        let session = Arc::make_mut(session);
        self.by_use.remove(&session.used);
        session.used = place;
        self.by_use.insert(place, id);
        self.dirty.insert(id);

        session.floor = session.floor.max(floor);
        while let Some(lowest) = session.outcomes.first_entry().filter(|lowest| *lowest.key() < session.floor) {
            self.outcomes_bytes -= outcome_bytes(&lowest.remove());
        }
        if number < session.floor {
            return Admission::Answer(Reply::Stale);
        }
        // By the write's own floor: by the session's, a later copy would be let in after this one was refused.
        if number - floor >= OUTSTANDING_MAX {
            return Admission::Answer(Reply::TooFarAhead);
        }
        match session.outcomes.get(&number) {
            Some(outcome) => Admission::Answer(Reply::Done(outcome.clone())),
            None => Admission::Execute,
        }
    }

    /// Keeps the outcome of a write that was just admitted.
    pub(super) fn record(&mut self, id: SessionId, number: u64, outcome: Outcome) {
        let Some(session) = self.open.get_mut(&id) else {
            return;
        };
        self.outcomes_bytes += outcome_bytes(&outcome);
        Arc::make_mut(session).outcomes.insert(number, outcome);
        // Not its own: it is the most recently used, and alone it is far below the bound.
        while self.outcomes_bytes > self.limits.outcomes_bytes_max && self.open.len() > 1 {
            self.end_least_recently_used();
        }
    }

    fn end_least_recently_used(&mut self) {
        if let Some((_, id)) = self.by_use.first_key_value() {
            self.close(*id);
        }
    }

    /// What changed since it was last asked, as of now.
    pub(super) fn take_dirty(&mut self) -> Vec<Captured> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|id| (id, self.open.get(&id).cloned())).collect()
    }

    /// All of them, as of now, in the order of their ids.
    pub(super) fn capture(&self) -> Vec<Captured> {
        self.open.iter().map(|(id, session)| (*id, Some(Arc::clone(session)))).collect()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("open", &self.open.len())
            .field("outcomes_bytes", &self.outcomes_bytes)
            .field("dirty", &self.dirty.len())
            .finish_non_exhaustive()
    }
}

/// The row of a session, the same bytes on every node.
pub(super) fn row(captured: &Captured) -> Result<(Bytes, Option<Bytes>), Error> {
    let (id, session) = captured;
    let value = match session {
        Some(session) => Some(
            codec::encode(&**session)
                .map_err(|error| StoreError::Failed(format!("a session cannot be written: {error}")))?
                .into(),
        ),
        None => None,
    };
    Ok((layout::session_key(id.round, id.position), value))
}

fn outcome_bytes(outcome: &Outcome) -> usize {
    OUTCOME_BYTES + outcome.as_ref().err().map_or(0, |refusal| refusal.reason_bytes())
}

#[cfg(test)]
mod tests;
