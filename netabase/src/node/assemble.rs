//! Putting a node together from its files: whose directory it is, what its log and its store hold.
//!
//! Must hold: the card is written last when a directory is made; what is chosen is replayed without a gap (D7).

use std::sync::{Arc, Mutex, PoisonError};

use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use super::alone::Recovery;
use super::card::Card;
use super::lapse::catch_up;
use super::options::{Limits, Tuning};
use super::space::FULL_BYTES;
use super::vault;
use super::volume::Volume;
use crate::command::{EntryIds, Life, entry_bytes_max};
use crate::consensus::{
    Addresses, Admission, Charter, ClusterId, Epoch, Installation, Keepsake, Log, Member, OPEN_ROUNDS_MAX, Owner,
    Parts, ReadQueue, Replica, Report, Round, Seat, Submitter, Terms, Voters, member_id, named_in, voters_of,
};
use crate::desk;
use crate::entropy;
use crate::error::{Error, Result};
use crate::machine::{Machine, Roster};
use crate::network::{self, Identity, Network, NetworkConfig, NetworkEvent, NetworkLimits, Sockets};
use crate::schema::Catalog;
use crate::storage::{Store, StoreKind};

/// What carries messages between nodes.
#[derive(Debug)]
pub(crate) enum Wire {
    /// libp2p, listening here.
    Sockets { listen: Vec<Multiaddr>, sockets: Sockets },
    /// A network that was joined already.
    #[cfg(any(test, feature = "testing"))]
    Joined(Network, mpsc::Receiver<NetworkEvent>),
}

/// How a new directory begins. A directory that was used before says it itself, and is held against it.
#[derive(Clone, Debug)]
pub(crate) enum Beginning {
    /// Nothing was said: a cluster of one.
    Alone,
    /// One of these founders, all with their addresses, this node included.
    Founded(Vec<(PeerId, Vec<Multiaddr>)>),
    /// Let into a cluster by its members.
    Joined(Admission),
}

/// Everything a node is made of.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) catalog: Catalog,
    pub(crate) identity: Identity,
    pub(crate) beginning: Beginning,
    /// Whether all records are to be fetched anew from the others.
    pub(crate) rebuild: bool,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) wire: Wire,
    pub(crate) store: StoreKind,
    pub(crate) limits: Limits,
    pub(crate) network_limits: NetworkLimits,
    pub(crate) tuning: Tuning,
}

/// What a message adds to an entry, at most.
const MESSAGE_OVERHEAD_BYTES: usize = 4 << 10;

/// A directory's contents, opened and agreed with each other.
pub(super) struct Opened {
    pub(super) card: Card,
    pub(super) log: Log,
    pub(super) machine: Machine,
    /// A snapshot that is in the store, and that the log has to follow.
    pub(super) installing: Option<Installation>,
    /// Whether this node has just lost its memory: its log begins anew where its store is.
    pub(super) lapsed: bool,
}

impl Assembly {
    /// Opens the files; nothing is sent anywhere yet.
    pub(super) fn open(&self) -> Result<Opened> {
        // Even to be opened, the files may need some room.
        if self.volume.free_bytes().is_some_and(|free| free < FULL_BYTES) && self.volume.release_ballast()? {
            tracing::warn!("the disk is full: the ballast is let go of to start at all");
        }
        let me = self.identity.peer_id();
        let stored = self.volume.read_card()?.map(|bytes| Card::decode(&bytes)).transpose()?;
        let is_new = stored.is_none();
        let card = match stored {
            Some(card) => self.resumed(card, me)?,
            None => self.begun(me)?,
        };
        let installing = vault::resume(&*self.volume, self.store)?;
        let store = Store::open(self.volume.open_store(self.store)?)?;
        let machine = Machine::open(store, self.catalog.clone(), founders_of(&card))?;
        if cluster_of(&card.charter)? != card.cluster {
            return Err(Error::DataDirectory {
                reason: "its file `node` contradicts itself: restore the directory from a backup".into(),
            });
        }
        let card = if self.rebuild { self.to_be_rebuilt(card, is_new, &machine)? } else { card };
        let owner = Owner { cluster: card.cluster, incarnation: card.incarnation };
        if is_new {
            return self.make(card, owner, machine);
        }
        self.open_used(card, owner, machine, installing)
    }

    /// The card of a directory that was used before, if it is this node's and has a future.
    fn resumed(&self, card: Card, me: PeerId) -> Result<Card> {
        if card.peer != me.to_string() {
            return Err(Error::DataDirectory {
                reason: format!(
                    "it belongs to the node {}, this one is {me}: use that node's `identity.key`, or another directory",
                    card.peer
                ),
            });
        }
        if let Some(round) = card.quarantine.filter(|_| !self.rebuild) {
            return Err(Error::Quarantined { round });
        }
        match &self.beginning {
            Beginning::Founded(peers) => {
                let founders: Voters = Voters::new(peers.iter().map(|(peer, _)| *peer).collect());
                let founders: Vec<String> = founders.iter().map(ToString::to_string).collect();
                if founders != card.charter.founders {
                    return Err(Error::Configuration {
                        option: "founders",
                        reason: format!(
                            "this directory was made with other founders: give the same list as then. Now: {}. Then: {}",
                            founders.join(", "),
                            card.charter.founders.join(", ")
                        ),
                    });
                }
            }
            Beginning::Joined(admission) if admission.cluster != card.cluster => {
                return Err(Error::DataDirectory {
                    reason: format!(
                        "it belongs to the cluster {}, the invite is to {}: use another directory",
                        card.cluster, admission.cluster
                    ),
                });
            }
            Beginning::Joined(admission) => {
                let card = card.readmitted(admission.peers.clone());
                self.volume.write_card(&card.encode()?)?;
                return Ok(card);
            }
            Beginning::Alone => {}
        }
        if card.departed { Err(Error::Removed) } else { Ok(card) }
    }

    /// The card of a new directory.
    fn begun(&self, me: PeerId) -> Result<Card> {
        let text = |(peer, addresses): &(PeerId, Vec<Multiaddr>)| {
            (peer.to_string(), addresses.iter().map(ToString::to_string).collect())
        };
        let (charter, peers) = match &self.beginning {
            Beginning::Alone => (Charter::founded(&Voters::new(vec![me]), &self.catalog), Vec::new()),
            Beginning::Founded(peers) => {
                let founders = Voters::new(peers.iter().map(|(peer, _)| *peer).collect());
                (
                    Charter::founded(&founders, &self.catalog),
                    peers.iter().filter(|(peer, _)| *peer != me).map(text).collect(),
                )
            }
            Beginning::Joined(Admission { charter, peers, .. }) => (charter.clone(), peers.clone()),
        };
        let cluster = cluster_of(&charter)?;
        Ok(Card::new(charter, cluster, me.to_string(), peers))
    }

    /// The first start in this directory.
    fn make(&self, card: Card, owner: Owner, machine: Machine) -> Result<Opened> {
        if machine.applied() > 0 {
            return Err(Error::DataDirectory {
                reason:
                    "it holds records, but its file `node` is missing: put that file back, or use another directory"
                        .into(),
            });
        }
        // Without a card no vote ever left: what an interrupted first start left behind is made anew.
        self.volume.set_log_aside()?;
        let log = self.new_log(owner)?;
        self.volume.write_card(&card.encode()?)?;
        Ok(Opened { card, log, machine, installing: None, lapsed: false })
    }

    /// Makes the member: what is chosen is replayed, the network listens.
    pub(super) async fn member(mut self, opened: Opened) -> Result<Built> {
        let Opened { card, log, machine, installing, lapsed } = opened;
        if let Some(Installation { round, .. }) = installing {
            // The step that a crash left out (D10): only then is the marker gone.
            if log.install(Epoch(machine.roster().epoch), round).await.is_err() {
                return Err(Error::Storage { reason: "the consensus log cannot be written".into(), source: None });
            }
            vault::finish(&*self.volume)?;
        } else if lapsed {
            catch_up(&log, &machine).await?;
        }
        let kept = machine.durable_round();
        let rebuilding = self.rebuild || machine.lacks_beginning();
        let vault = vault::Files::new(
            Arc::clone(&self.volume),
            self.store,
            self.catalog.clone(),
            card.cluster,
            founders_of(&card),
        );
        let me = self.identity.peer_id();
        let submitter = Arc::new(Submitter::new(self.catalog.clone(), self.tuning.request_timeout));
        let (reads, readers) = ReadQueue::new(self.tuning.request_timeout);
        let views = machine.views();
        let replica =
            Arc::new(Replica::new(machine, log.clone(), Arc::clone(&submitter), self.tuning.checkpoint_rounds));
        replay(&replica, &log)?;
        let roster = replica.roster();
        let log = if log.epoch().0 == roster.epoch {
            log
        } else {
            // It stopped between a seal and what follows it.
            let entered = log.enter(Epoch(roster.epoch), roster.sealed).await;
            let entered = entered.map_err(|_| Error::DataDirectory {
                reason: "its consensus log does not take the epoch that follows its last seal: check the disk, then start this node again".into(),
            })?;
            replica.enter(entered.clone());
            entered
        };
        let addresses = self.addresses(&card);
        let wire = std::mem::replace(&mut self.wire, Wire::Sockets { listen: Vec::new(), sockets: Sockets::System });
        let (network, events) = self.connect(wire, addresses.members(&roster)).await?;
        let entry_bytes_max = entry_bytes_max(self.limits.record_bytes());
        let terms = Terms {
            cluster: card.cluster,
            epoch: log.epoch(),
            incarnation: card.incarnation,
            me,
            voters: voters_of(&roster),
            named: named_in(&roster),
            charter: card.charter.clone(),
            entry_bytes_max,
            vote_timeout: self.tuning.vote_timeout,
        };
        let seat = Arc::new(Seat::new(terms, network.clone(), log, Arc::clone(&replica)));
        let parts = Parts {
            seat: Arc::clone(&seat),
            submitter: Arc::clone(&submitter),
            readers,
            timing: self.tuning.timing,
            addresses: addresses.clone(),
            ids: EntryIds::new(entropy::bytes()),
            schema: self.catalog.summary(),
            own: card.life(),
            let_in: matches!(self.beginning, Beginning::Joined(_)),
            store_is_durable: self.keeps(self.store),
            kept,
            vault: Arc::new(vault),
            log_bytes_max: self.tuning.log_bytes_max,
            rebuilding,
            keepsake: Box::new(Kept { card: Mutex::new(card.clone()), volume: Arc::clone(&self.volume) }),
        };
        let (member, inbox, standing) = Member::new(parts);
        let cluster = card.cluster;
        let volume = self.volume;
        Ok(Built {
            member,
            inbox,
            events,
            standing,
            submitter,
            reads,
            replica,
            views,
            network,
            volume,
            cluster,
            addresses,
            recovery: card.recovery,
        })
    }

    /// Where the others are, as this node was told now, or when its directory was made.
    fn addresses(&self, card: &Card) -> Addresses {
        let parsed = |(peer, addresses): &(String, Vec<String>)| {
            Some((peer.parse().ok()?, addresses.iter().filter_map(|address| address.parse().ok()).collect()))
        };
        match &self.beginning {
            Beginning::Founded(peers) => Addresses::new(peers.iter().cloned()),
            _ => Addresses::new(card.peers.iter().filter_map(parsed)),
        }
    }

    /// What the channels must carry, whatever the size of a record.
    fn network_limits(&self) -> NetworkLimits {
        let entry = entry_bytes_max(self.limits.record_bytes()) + MESSAGE_OVERHEAD_BYTES;
        let defaults = self.network_limits;
        NetworkLimits {
            // A promise may carry every round that is open.
            paxos_bytes_max: defaults.paxos_bytes_max.max(OPEN_ROUNDS_MAX * entry),
            forward_bytes_max: defaults.forward_bytes_max.max(2 * entry),
            sync_bytes_max: defaults.sync_bytes_max.max(2 * entry),
            client_bytes_max: desk::frame_bytes_max(self.limits.record_bytes()),
            ..defaults
        }
    }

    async fn connect(
        &self,
        wire: Wire,
        peers: Vec<(PeerId, Vec<Multiaddr>)>,
    ) -> Result<(Network, mpsc::Receiver<NetworkEvent>)> {
        match wire {
            Wire::Sockets { listen, sockets } => {
                let config = NetworkConfig {
                    keypair: self.identity.keypair().clone(),
                    listen,
                    peers,
                    limits: self.network_limits(),
                    sockets,
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

fn cluster_of(charter: &Charter) -> Result<ClusterId> {
    charter.cluster().ok_or_else(|| Error::DataDirectory {
        reason: "its file `node` names founders that are no peer ids: restore the directory from a backup".into(),
    })
}

/// Who took part before the log says anything.
pub(super) fn founders_of(card: &Card) -> Roster {
    let founders = card.charter.voters().map(|voters| voters.iter().map(member_id).collect::<Vec<_>>());
    Roster::founded(founders.unwrap_or_default(), card.charter.records.clone())
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
    pub(super) cluster: ClusterId,
    pub(super) addresses: Addresses,
    pub(super) recovery: Option<Recovery>,
}

/// The card, as the member changes it.
struct Kept {
    card: Mutex<Card>,
    volume: Arc<dyn Volume>,
}

impl Kept {
    fn change(&self, change: impl FnOnce(Card) -> Card) -> Result<()> {
        let mut card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(card.clone());
        self.volume.write_card(&changed.encode()?)?;
        *card = changed;
        Ok(())
    }
}

impl Keepsake for Kept {
    fn lapse(&self, life: Life, reason: &str) -> Result<()> {
        self.change(|card| card.lapsed(life.lapses, reason))
    }

    fn quarantine(&self, round: Round) -> Result<()> {
        self.change(|card| card.quarantined(Some(round)))
    }

    fn release(&self) -> Result<()> {
        self.change(|card| card.quarantined(None))
    }

    fn depart(&self) -> Result<()> {
        self.change(Card::departed)
    }
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
            replica.replay(row.round, &row.entry).map_err(|failed| match &*failed.0 {
                Error::SchemaMismatch { ours, theirs } => {
                    Error::SchemaMismatch { ours: ours.clone(), theirs: theirs.clone() }
                }
                _ => Error::Storage { reason: format!("a chosen entry cannot be applied: {failed}"), source: None },
            })?;
        }
    }
    Ok(())
}
