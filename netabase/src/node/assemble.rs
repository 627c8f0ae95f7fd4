//! Putting a node together from its files: whose directory it is, what its log and its store hold.
//!
//! Must hold: the card is written last when a directory is made; a log that is gone, damaged or behind the store never
//! votes again (D9), and that is durable before a new one is made; what is chosen is replayed without a gap (D7).

use std::sync::Arc;

use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use super::card::Card;
use super::options::{Limits, Tuning};
use super::vault;
use super::volume::Volume;
use crate::command::{EntryIds, entry_bytes_max};
use crate::consensus::{
    ClusterId, Epoch, Incarnation, Installation, Log, Member, OPEN_ROUNDS_MAX, Owner, Parts, ReadQueue, Replica, Report, Round, Seat,
    Submitter, Terms, Voters,
};
use crate::entropy;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::network::{self, Identity, Network, NetworkConfig, NetworkEvent, NetworkLimits};
use crate::schema::Catalog;
use crate::storage::{Store, StoreError, StoreKind};

/// What carries messages between nodes.
#[derive(Debug)]
pub(crate) enum Wire {
    /// libp2p, listening here.
    Sockets { listen: Vec<Multiaddr> },
    /// A network that was joined already.
    #[cfg(any(test, feature = "testing"))]
    Joined(Network, mpsc::Receiver<NetworkEvent>),
}

/// Everything a node is made of.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) catalog: Catalog,
    pub(crate) identity: Identity,
    /// The founders with their addresses, this node included.
    pub(crate) peers: Vec<(PeerId, Vec<Multiaddr>)>,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) wire: Wire,
    pub(crate) store: StoreKind,
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
}

/// What a message adds to an entry, at most.
const MESSAGE_OVERHEAD_BYTES: usize = 4 << 10;

/// The one epoch of a cluster of founders.
const EPOCH: Epoch = Epoch(0);

/// A directory's contents, opened and agreed with each other.
pub(super) struct Opened {
    card: Card,
    log: Log,
    machine: Machine,
    /// A snapshot that is in the store, and that the log has to follow.
    installing: Option<Installation>,
}

impl Assembly {
    /// Opens the files; nothing is sent anywhere yet.
    pub(super) fn open(&self) -> Result<Opened> {
        let me = self.identity.peer_id();
        let voters = Voters::new(self.peers.iter().map(|(peer, _)| *peer).collect());
        let founders: Vec<String> = voters.iter().map(ToString::to_string).collect();
        let cluster = ClusterId::of(&voters, &self.catalog.fingerprint());
        let stored = self.volume.read_card()?.map(|bytes| Card::decode(&bytes)).transpose()?;
        if let Some(card) = &stored {
            check_card(card, me, &founders)?;
        }
        let installing = vault::resume(&*self.volume, self.store)?;
        let machine = Machine::open(Store::open(self.volume.open_store(self.store)?)?, self.catalog.clone())?;
        let Some(mut card) = stored else {
            if machine.applied() > 0 {
                return Err(Error::DataDirectory {
                    reason:
                        "it holds records, but its file `node` is missing: put that file back, or use another directory"
                            .into(),
                });
            }
            return self.make(cluster, me, founders, machine);
        };
        if card.cluster != cluster {
            return Err(Error::DataDirectory {
                reason: format!(
                    "it belongs to the cluster {}, not to {cluster}: use the schema and the founders it was made with",
                    card.cluster
                ),
            });
        }
        let owner = Owner { cluster, incarnation: card.incarnation };
        let log = match self.open_log(owner) {
            Ok(log)
                if is_older(&log, machine.applied(), installing)
                    && card.renounced.is_none()
                    && self.keeps(self.store) =>
            {
                self.renounce(&mut card, "its consensus log is older than its records")?;
                log
            }
            Ok(log) => log,
            Err(Unusable::Gone(reason)) => {
                self.renounce(&mut card, &reason)?;
                self.volume.set_log_aside()?;
                self.new_log(owner)?
            }
            Err(Unusable::Failed(error)) => return Err(error),
        };
        Ok(Opened { card, log, machine, installing })
    }

    /// The first start in this directory.
    fn make(&self, cluster: ClusterId, me: PeerId, founders: Vec<String>, machine: Machine) -> Result<Opened> {
        // Without a card no vote ever left: what an interrupted first start left behind is made anew.
        self.volume.set_log_aside()?;
        let incarnation = Incarnation::random();
        let log = self.new_log(Owner { cluster, incarnation })?;
        let card = Card::new(cluster, incarnation, me.to_string(), founders);
        self.volume.write_card(&card.encode()?)?;
        Ok(Opened { card, log, machine, installing: None })
    }

    fn new_log(&self, owner: Owner) -> Result<Log> {
        Log::open(self.volume.open_log()?, owner, EPOCH)
    }

    /// Opens the log that this directory is known to have.
    fn open_log(&self, owner: Owner) -> Result<Log, Unusable> {
        if !self.volume.has_log() {
            return Err(Unusable::Gone("its consensus log is gone".into()));
        }
        let database = self.volume.open_log().map_err(|error| match error {
            StoreError::Damaged(what) | StoreError::Foreign(what) => {
                Unusable::Gone(format!("its consensus log is damaged ({what})"))
            }
            other => Unusable::Failed(other.into()),
        })?;
        Log::open(database, owner, EPOCH).map_err(|error| match error {
            Error::DataDirectory { reason } => Unusable::Gone(reason),
            other => Unusable::Failed(other),
        })
    }

    fn keeps(&self, kind: StoreKind) -> bool {
        kind != StoreKind::Memory
    }

    /// Records that this node must not vote (D9); alone, there is nobody to follow.
    fn renounce(&self, card: &mut Card, reason: &str) -> Result<()> {
        if self.peers.len() == 1 {
            return Err(Error::DataDirectory {
                reason: format!("{reason}; no other node holds a copy: restore this directory from a backup"),
            });
        }
        tracing::error!(reason, "this node does not vote any more in this epoch; it follows");
        *card = card.clone().renouncing(EPOCH, reason);
        self.volume.write_card(&card.encode()?)
    }

    /// Makes the member: what is chosen is replayed, the network listens.
    pub(super) async fn member(mut self, opened: Opened) -> Result<Built> {
        let Opened { card, log, machine, installing } = opened;
        if let Some(Installation { round, .. }) = installing {
            // The step that a crash left out (D10): only then is the marker gone.
            if log.install(round).await.is_err() {
                return Err(Error::Storage { reason: "the consensus log cannot be written".into(), source: None });
            }
            vault::finish(&*self.volume)?;
        }
        let kept = machine.durable_round();
        let me = self.identity.peer_id();
        let voters = Voters::new(self.peers.iter().map(|(peer, _)| *peer).collect());
        let submitter = Arc::new(Submitter::new(self.catalog.clone(), self.tuning.request_timeout));
        let (reads, readers) = ReadQueue::new(self.tuning.request_timeout);
        let views = machine.views();
        let replica = Arc::new(Replica::new(machine, log.clone(), Arc::clone(&submitter)));
        replay(&replica, &log)?;
        let wire = std::mem::replace(&mut self.wire, Wire::Sockets { listen: Vec::new() });
        let (network, events) = self.connect(wire).await?;
        let entry_bytes_max = entry_bytes_max(self.limits.record_bytes());
        let terms = Terms {
            cluster: card.cluster,
            epoch: EPOCH,
            incarnation: card.incarnation,
            me,
            voters,
            entry_bytes_max,
            vote_timeout: self.tuning.vote_timeout,
        };
        let seat = Arc::new(Seat::new(terms, network.clone(), log, Arc::clone(&replica)));
        let (volume, card_to_renounce) = (Arc::clone(&self.volume), card.clone());
        let parts = Parts {
            seat: Arc::clone(&seat),
            submitter: Arc::clone(&submitter),
            readers,
            timing: self.tuning.timing,
            ids: EntryIds::new(entropy::bytes()),
            founders: card.founders,
            schema: self.catalog.summary(),
            votes: card.renounced.is_none(),
            store_is_durable: self.keeps(self.store),
            kept,
            vault: Arc::new(vault::Files::new(
                Arc::clone(&self.volume),
                self.store,
                self.catalog.clone(),
                card.cluster,
            )),
            log_bytes_max: self.tuning.log_bytes_max,
            renounce: Box::new(move |reason| {
                volume.write_card(&card_to_renounce.clone().renouncing(EPOCH, reason).encode()?)
            }),
        };
        let (member, inbox, standing) = Member::new(parts);
        Ok(Built { member, inbox, events, standing, submitter, reads, replica, views, network, volume: self.volume })
    }

    /// What the channels must carry, whatever the size of a record.
    fn network_limits(&self) -> NetworkLimits {
        let entry = entry_bytes_max(self.limits.record_bytes()) + MESSAGE_OVERHEAD_BYTES;
        let defaults = NetworkLimits::default();
        NetworkLimits {
            // A promise may carry every round that is open.
            paxos_bytes_max: defaults.paxos_bytes_max.max(OPEN_ROUNDS_MAX * entry),
            forward_bytes_max: defaults.forward_bytes_max.max(2 * entry),
            sync_bytes_max: defaults.sync_bytes_max.max(2 * entry),
            ..defaults
        }
    }

    async fn connect(&self, wire: Wire) -> Result<(Network, mpsc::Receiver<NetworkEvent>)> {
        match wire {
            Wire::Sockets { listen } => {
                let config = NetworkConfig {
                    keypair: self.identity.keypair().clone(),
                    listen,
                    peers: self.peers.iter().filter(|(peer, _)| *peer != self.identity.peer_id()).cloned().collect(),
                    limits: self.network_limits(),
                };
                let (network, events, driver) = network::start(config).await?;
                tokio::task::spawn_local(driver);
                Ok((network, events))
            }
            #[cfg(any(test, feature = "testing"))]
            Wire::Joined(network, events) => Ok((network, events)),
        }
    }
}

/// Whether the log is not the one that was written with these records (D9). What is in the store of a snapshot that is
/// being installed, the log need not hold yet; but it must hold what it did when that began.
pub(super) fn is_older(log: &Log, applied: Round, installing: Option<Installation>) -> bool {
    let (chosen, ballot) = log.durable(|log| (log.chosen(), log.ballot()));
    match installing {
        Some(before) => chosen < before.chosen || ballot < before.ballot || chosen.max(before.round) < applied,
        None => chosen < applied,
    }
}

/// Why a log cannot be used.
enum Unusable {
    /// It is gone, damaged, or another's: what this node promised is forgotten (D9).
    Gone(String),
    /// It may be fine, but cannot be read now.
    Failed(Error),
}

/// A member that is ready to run, with what the handle needs of it.
pub(super) struct Built {
    pub(super) member: Member,
    pub(super) inbox: mpsc::Receiver<Report>,
    pub(super) events: mpsc::Receiver<NetworkEvent>,
    pub(super) standing: tokio::sync::watch::Receiver<crate::consensus::Standing>,
    pub(super) submitter: Arc<Submitter>,
    pub(super) reads: ReadQueue,
    pub(super) replica: Arc<Replica>,
    pub(super) views: crate::storage::Views,
    pub(super) network: Network,
    pub(super) volume: Arc<dyn Volume>,
}

fn check_card(card: &Card, me: PeerId, founders: &[String]) -> Result<()> {
    if card.peer != me.to_string() {
        return Err(Error::DataDirectory {
            reason: format!(
                "it belongs to the node {}, this one is {me}: use that node's `identity.key`, or another directory",
                card.peer
            ),
        });
    }
    if card.founders != founders {
        return Err(Error::Configuration {
            option: "founders",
            reason: format!(
                "this directory was made with other founders: give the same list as then. Now: {}. Then: {}",
                founders.join(", "),
                card.founders.join(", ")
            ),
        });
    }
    Ok(())
}

/// Rows read from the log at once.
const REPLAY_BYTES: usize = 8 << 20;

/// Applies what is chosen and not in the store yet.
fn replay(replica: &Replica, log: &Log) -> Result<()> {
    let chosen: Round = log.durable(|log| log.chosen());
    while replica.applied() < chosen {
        let from = replica.applied() + 1;
        let rows = log.read_chosen(from, REPLAY_BYTES)?;
        if rows.is_empty() {
            return Err(Error::DataDirectory {
                reason: format!(
                    "its records end at round {}, but its consensus log begins later: restore the store, or remove the whole directory",
                    from - 1
                ),
            });
        }
        for row in rows {
            replica.replay(row.round, &row.entry).map_err(|failed| Error::Storage {
                reason: format!("a chosen entry cannot be applied: {failed}"),
                source: None,
            })?;
        }
    }
    Ok(())
}
