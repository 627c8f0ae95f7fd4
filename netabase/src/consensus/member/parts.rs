//! What a member is made of.

use std::sync::Arc;

use crate::command::{EntryIds, Life as VotingLife};
use crate::consensus::addresses::Addresses;
use crate::consensus::id::Round;
use crate::consensus::leadership::Timing;
use crate::consensus::reads::ReadInbox;
use crate::consensus::seat::Seat;
use crate::consensus::submit::Submitter;
use crate::consensus::vault::Vault;
use crate::error::Result;
use crate::schema::Summary;

/// Records durably, in the node's card, what must outlive it.
pub(crate) trait Keepsake: Send {
    /// This node votes no more in the life before this one; the reason is kept for the user.
    fn lapse(&self, life: VotingLife, reason: &str) -> Result<()>;
    /// A majority of the voters held other records than this node at this round: it does not start again as it is.
    fn quarantine(&self, round: Round) -> Result<()>;
    /// Its records are those of another node now.
    fn release(&self) -> Result<()>;
    /// This node left the cluster.
    fn depart(&self) -> Result<()>;
}

/// What a member is made of.
pub(crate) struct Parts {
    pub(crate) seat: Arc<Seat>,
    pub(crate) submitter: Arc<Submitter>,
    pub(crate) readers: ReadInbox,
    pub(crate) timing: Timing,
    pub(crate) addresses: Addresses,
    pub(crate) ids: EntryIds,
    /// The records, as a greeting names them.
    pub(crate) schema: Summary,
    pub(crate) own: VotingLife,
    /// Whether it was let in just now: what its log says of having left is of before.
    pub(crate) let_in: bool,
    /// Whether what the store holds survives a restart; otherwise the log has to keep everything.
    pub(crate) store_is_durable: bool,
    /// The round of the snapshot from which a store in memory began.
    pub(crate) kept: Round,
    pub(crate) vault: Arc<dyn Vault>,
    /// How much of the log is kept for members that are behind.
    pub(crate) log_bytes_max: u64,
    /// Whether all records are to be fetched anew.
    pub(crate) rebuilding: bool,
    pub(crate) keepsake: Box<dyn Keepsake>,
}
