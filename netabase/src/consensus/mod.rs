//! Consensus: paxakos 0.13 made durable and safe (Multi-Paxos after Lamport, "Paxos Made Simple"; Chandra, Griesemer and
//! Redstone, "Paxos Made Live").
//!
//! ```text
//! submit ─▶ member ─▶ proposer ─▶ keeper (paxakos) ─▶ communicator ─▶ peers' acceptors
//! reads ──▶ member ─▶ confirm: a majority, or the leader
//!                                      │                   └─▶ own log
//!                                      └─▶ replica ─▶ machine ─▶ answers ─▶ submit
//! ```
//!
//! paxakos keeps promises and accepted entries in memory, trusts its peers and panics on some inputs. This shell supplies
//! the rest. Its invariants, each with a test that fails without it:
//!
//! - **D1** a promise or an acceptance is durable before its answer leaves (`acceptor`);
//! - **D2** the leader's own is durable before a peer's answer counts (`communicator`);
//! - **D3** a single voter is shown to paxakos as two nodes, the voter and its disk (`communicator`, `paxakos_types`);
//! - **D4** one writer commits the log in groups, and memory follows the file (`log`);
//! - **D5, D6, D7** a keeper wakes from the log: one promise, a fresh ballot, what was accepted above the base
//!   (`snapshot`);
//! - **D8** nothing is installed into a keeper that has voted (`member::fetch`);
//! - **D9** a node whose log is gone or older than it was never votes again in the epoch (`acquaintance`, `member`);
//! - **D10** a chosen row never changes; only chosen rows are served; the store is synced behind the log (`log`,
//!   `member::fetch`);
//! - **D11** applying is total, and nothing is acknowledged before its outcome (`replica`);
//! - **D12** one election a ballot, nothing in flight (`mandate`, `keeper`, `election`, `member::lead`);
//! - **D13** a failed log commit is fail-stop, a stuck one does not look alive (`log::writer`, `member`);
//! - **D14** a vote counts only from the life of a directory that was seen first (`seat`, `acquaintance`);
//! - **epochs**: voters change only with a seal, the last entry of an epoch; an epoch is entered with its keeper anew, after
//!   the seal before it is durable here, and nothing of it counts in another (`member::epoch`, `member::seal`, `log`).

mod acceptor;
mod acquaintance;
mod addresses;
mod background;
mod charter;
mod checkpoint;
mod communicator;
mod election;
mod entries;
#[cfg(test)]
mod fixture;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod guard;
mod id;
mod keeper;
mod leadership;
mod log;
#[cfg(test)]
mod losses;
mod mandate;
mod member;
mod message;
mod paxakos_types;
mod proposer;
mod reads;
mod relay;
mod replica;
mod seat;
mod snapshot;
mod submit;
#[cfg(test)]
mod tests;
mod vault;

#[cfg(test)]
pub(crate) use self::addresses::knocker;
pub(crate) use self::addresses::{Addresses, member_id};
pub(crate) use self::charter::{Admission, Charter};
pub(crate) use self::checkpoint::CHECKPOINT_ROUNDS;
pub(crate) use self::guard::OPEN_ROUNDS_MAX;
pub(crate) use self::id::{ClusterId, Epoch, Incarnation, Round, Voters};
pub(crate) use self::leadership::Timing;
pub(crate) use self::log::{Log, Owner, Reopen};
pub(crate) use self::member::{Control, Keepsake, Member, Parts, Report, Standing, named_in, peer_of, voters_of};
#[cfg(feature = "testing")]
pub(crate) use self::message::{Envelope, Greeting, PaxosRequest, PulseRequest};
pub(crate) use self::message::{Knock, KnockAnswer, Pulse};
pub(crate) use self::reads::ReadQueue;
pub(crate) use self::relay::{Fate, Name, Outlook};
pub(crate) use self::replica::Replica;
pub(crate) use self::seat::{Seat, Terms};
pub(crate) use self::submit::{OUTSTANDING_MAX, Outgoing, Submitter, Trouble};
pub(crate) use self::vault::{Export, Incoming, Installation, Unusable, Vault};
