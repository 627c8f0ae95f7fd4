//! What must hold of a cluster at any time, looked at from above.

use std::collections::BTreeMap;

use super::Cluster;
use super::volume::Disks;
use crate::consensus::Round;
use crate::error::Result;
use crate::machine::{Verified, verify};
use crate::network::Identity;
use crate::node::beginning_of;
use crate::schema::Schema;

/// Bytes of rows that are read of a log at once.
const PAGE_BYTES: usize = 4 << 20;
/// Logs lose rows from the front, so many at least at once.
const STEP: Round = 256;

impl<S: Schema> Cluster<S> {
    /// Compares the logs of the running nodes: in every round that two of them hold as chosen, they hold the same entry.
    /// Gives how many rounds two nodes or more still have.
    ///
    /// # Errors
    /// When a log cannot be read.
    ///
    /// # Panics
    /// When two nodes differ in a round: that is the fault a test looks for.
    pub fn agreed(&self) -> Result<usize> {
        let mut rounds: BTreeMap<Round, (usize, blake3::Hash)> = BTreeMap::new();
        let mut shared = 0;
        for place in self.running_places() {
            for (round, entry) in self.chosen(place)? {
                let (other, known) = *rounds.entry(round).or_insert((place, entry));
                assert!(known == entry, "nodes {other} and {place} have agreed on different entries in round {round}");
                shared += usize::from(other != place);
            }
        }
        Ok(shared)
    }

    /// Checks on every running node that records decode, lie under their keys and are in their indexes, that indexes hold
    /// nothing else, and that unique ones have no value twice. Gives what the first of them holds.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`Error::DataDirectory`](crate::Error::DataDirectory).
    pub fn verified(&self) -> Result<Option<Verified>> {
        let mut first = None;
        for place in self.running_places() {
            let verified = verify(&self.running(place).view()?, &self.catalog)?;
            first.get_or_insert(verified);
        }
        Ok(first)
    }

    /// Has somebody else present the invite with which the node at this place came, to its members. It must be refused, with
    /// [`Error::InvalidInvite`](crate::Error::InvalidInvite).
    ///
    /// # Errors
    /// What the members say.
    ///
    /// # Panics
    /// When that node came without an invite: a test that asks for it is wrong.
    pub async fn present_again(&self, place: usize) -> Result<()> {
        let invite = self.places[place].invite.as_ref().expect("a founder comes without an invite");
        let door = self.medium.door(invite.knocker()?.peer_id());
        let (stranger, empty) = (Identity::generate().peer_id(), Disks::new());
        beginning_of(door, invite, stranger, &self.catalog, &empty.mount()).await.map(drop)
    }

    fn running_places(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).filter(|&place| self.is_running(place))
    }

    /// The chosen rounds that a node's log still holds, each with the hash of its entry.
    fn chosen(&self, place: usize) -> Result<Vec<(Round, blake3::Hash)>> {
        let log = self.running(place).replica()?.log();
        let through = log.durable(|log| log.chosen());
        let (mut chosen, mut from) = (Vec::new(), 1);
        while from <= through {
            let rows = log.read_chosen(from, PAGE_BYTES)?;
            from = rows.last().map_or(from + STEP, |row| row.round + 1);
            chosen.extend(rows.into_iter().map(|row| (row.round, blake3::hash(&row.entry.body))));
        }
        Ok(chosen)
    }
}
