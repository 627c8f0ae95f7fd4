//! What the desk keeps for a client between two of its requests: a moment to read from, or a transaction.
//!
//! Must hold: a client has [`LEASES_MAX`] at most, all together [`ALL_MAX`]; each ends by itself, since the store's file
//! keeps all that it shows: a transaction after 5 s, as on a node; a moment 5 s after its last use, or after a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::LEASES_MAX;
use super::message::{Held, Trouble};
use super::transact::Run;
use crate::storage::View;

/// Leases of all clients.
const ALL_MAX: usize = 1_024;
/// How long a transaction may read from its moment.
const RUN_HELD: Duration = Duration::from_secs(5);
/// How long a moment is kept after its last use, and at all.
const VIEW_IDLE: Duration = Duration::from_secs(5);
const VIEW_HELD: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) enum Lease {
    View(View),
    Run(Box<Run>),
}

#[derive(Debug)]
struct Entry {
    lease: Lease,
    /// When it ends, unless it is used before, and when it ends even then.
    until: Instant,
    until_at_most: Instant,
}

/// The leases of one desk.
#[derive(Debug, Default)]
pub(super) struct Leases {
    clients: HashMap<PeerId, HashMap<u64, Entry>>,
}

impl Leases {
    /// The lease that a request names, made now if it is to be.
    pub(super) fn find(
        &mut self,
        now: Instant,
        client: PeerId,
        held: Held,
        make: impl FnOnce() -> Lease,
    ) -> Result<&mut Lease, Trouble> {
        self.expire(now);
        let known = self.clients.get(&client).is_some_and(|leases| leases.contains_key(&held.id));
        if !known && !held.new {
            return Err(Trouble::NoLease);
        }
        if !known && self.clients.get(&client).map_or(0, HashMap::len) >= LEASES_MAX {
            return Err(Trouble::Overloaded { limit: LEASES_MAX as u64 });
        }
        if !known && self.clients.values().map(HashMap::len).sum::<usize>() >= ALL_MAX {
            return Err(Trouble::Overloaded { limit: ALL_MAX as u64 });
        }
        let leases = self.clients.entry(client).or_default();
        let entry = leases.entry(held.id).or_insert_with(|| {
            let lease = make();
            let held = match lease {
                Lease::View(_) => VIEW_HELD,
                Lease::Run(_) => RUN_HELD,
            };
            Entry { lease, until: now + VIEW_IDLE.min(held), until_at_most: now + held }
        });
        entry.until = (now + VIEW_IDLE).min(entry.until_at_most);
        Ok(&mut entry.lease)
    }

    /// Ends a lease.
    pub(super) fn take(&mut self, client: PeerId, id: u64) -> Option<Lease> {
        let leases = self.clients.get_mut(&client)?;
        let entry = leases.remove(&id);
        if leases.is_empty() {
            self.clients.remove(&client);
        }
        entry.map(|entry| entry.lease)
    }

    /// Ends those whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.clients.retain(|_, leases| {
            leases.retain(|_, entry| entry.until > now);
            !leases.is_empty()
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.clients.values().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Trial;
    use crate::storage::{MemoryEngine, Store};
    use std::sync::Arc;

    fn view() -> View {
        Store::open(Arc::new(MemoryEngine::default())).expect("it is new").views().view()
    }

    fn moment() -> Lease {
        Lease::View(view())
    }

    fn new(id: u64) -> Held {
        Held { id, new: true }
    }

    #[test]
    fn a_client_has_so_many_and_all_together_have_so_many() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        let greedy = PeerId::random();
        for id in 0..10_000 {
            let made = leases.find(now, greedy, new(id), moment).map(drop);
            assert_eq!(made.is_ok(), id < LEASES_MAX as u64, "{id}: {made:?}");
        }
        assert!(leases.find(now, greedy, new(0), || panic!("it is there")).is_ok(), "a copy of a request");
        for _ in 0..ALL_MAX {
            let _ = leases.find(now, PeerId::random(), new(1), moment);
        }
        assert_eq!(leases.len(), ALL_MAX);
        leases.expire(now + VIEW_IDLE);
        assert_eq!(leases.len(), 0);
    }

    #[test]
    fn a_lease_is_found_by_its_client_until_its_time_is_over() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let (client, other) = (PeerId::random(), PeerId::random());
        let known = Held { id: 1, new: false };
        assert_eq!(leases.find(start, client, known, moment).map(drop), Err(Trouble::NoLease));
        leases.find(start, client, new(1), moment).expect("there is room");
        assert_eq!(leases.find(start, other, known, moment).map(drop), Err(Trouble::NoLease));
        // Used, a moment is kept on, but not for ever.
        let mut now = start;
        while now < start + VIEW_HELD {
            assert!(leases.find(now, client, known, moment).is_ok());
            now += VIEW_IDLE - Duration::from_millis(1);
        }
        assert_eq!(leases.find(start + VIEW_HELD, client, known, moment).map(drop), Err(Trouble::NoLease));
        // A transaction is not.
        let run = || Lease::Run(Box::new(Run::new(Trial::new(view()))));
        leases.find(start, client, new(2), run).expect("there is room");
        let known = Held { id: 2, new: false };
        assert!(leases.find(start + RUN_HELD / 2, client, known, run).is_ok());
        assert_eq!(leases.find(start + RUN_HELD, client, known, run).map(drop), Err(Trouble::NoLease));
    }
}
