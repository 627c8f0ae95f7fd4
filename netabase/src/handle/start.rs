//! Starting a node: options, then `.await`.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use super::Netabase;
use crate::error::{Error, Result};
use crate::network::{Identity, NetworkLimits, Sockets};
use crate::node::{
    Assembly, Directory, Door, Invite, Limits, Node, Options, Tuning, Volume, Wire, beginning_of, recover, used,
};
use crate::schema::{Catalog, Schema};
use crate::storage::StoreKind;

/// A node about to start. Await it; until then nothing happens.
///
/// Without options: a cluster of one in `./netabase-data`. A directory that was used before is resumed, with the options
/// that it was made with.
#[derive(Clone, Debug)]
#[must_use = "a node starts when this is awaited"]
pub struct Start<S: Schema> {
    options: Options,
    schema: PhantomData<fn() -> S>,
}

impl<S: Schema> Start<S> {
    pub(super) fn new() -> Self {
        Start { options: Options::default(), schema: PhantomData }
    }

    /// Where the node keeps its files; made if it is missing. One directory, one running node.
    pub fn data_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.options.data_dir = path.as_ref().to_owned();
        self
    }

    /// An address to listen on, such as `/ip4/127.0.0.1/tcp/4001` or `/ip4/127.0.0.1/udp/4001/quic-v1`. Repeatable.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.options.listen.push(address.into());
        self
    }

    /// The first voters of the cluster by full addresses (`/ip4/10.0.0.1/tcp/4001/p2p/12D3…`), this node included. Every
    /// founder is given the same nodes.
    pub fn founders<A: Into<String>>(mut self, addresses: impl IntoIterator<Item = A>) -> Self {
        self.options.founders = Some(addresses.into_iter().map(Into::into).collect());
        self
    }

    /// Joins the cluster that gave out this invite, as what it says: a voter or a learner. The node is ready once it has what
    /// the cluster had when it was let in, and, as a voter, votes. A directory that is a member already is resumed, whatever
    /// the invite.
    pub fn join(mut self, invite: Invite) -> Self {
        self.options.join = Some(invite);
        self
    }

    /// Makes a new cluster of one of this directory, when a majority of its cluster is lost for good. Never as long as the
    /// others may come back: they know nothing of it, and go on as the cluster that they were.
    ///
    /// The directory is one that a node has used, whatever that node was: a voter, a learner, one without a vote, or one
    /// that was removed. The node keeps its key. The new cluster has an id of its own, so that nodes, invites and clients of
    /// the old one are refused by it, and refuse it; others join it by invite, with new directories. Done once, the directory
    /// is started without this. A crash meanwhile leaves either the old directory as it was, or one that the next start
    /// completes. For that it needs room for a second copy of the records; the old consensus log stays beside the new one,
    /// as `log.redb.` and the old cluster's id.
    ///
    /// # What is kept, what may be lost
    /// Kept is everything that this node knew to be agreed on, and after it what it had voted for itself, up to the first
    /// round that it lacks. Records keep the rounds of their last writes, the change table goes on, named calls
    /// ([`Netabase::request_id`]) are still known. Sessions and the list of members are not taken over.
    ///
    /// - Lost may be writes that were acknowledged: a write is acknowledged once a majority has it, and this node need not
    ///   be of it. In a cluster of three or more, a voter that was cut off, and a learner at any time, may lack as much as it
    ///   was behind. How much that is cannot be known here: the lost nodes alone knew.
    /// - Kept may be writes that were not acknowledged, or whose callers were told that their fate is unknown: this node had
    ///   voted for them.
    /// - When its consensus log cannot be read, what had not reached the synced store is lost too, the last second or so.
    ///
    /// [`Status::recovery`](crate::Status::recovery) says what was found, and so does the log of the program, at `warn`.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the directory was never used, or its node is the only voter of its cluster already, and
    /// with [`founders`](Start::founders) or [`join`](Start::join); [`Error::DataDirectory`] and [`Error::Storage`] when it
    /// cannot be read or written. The directory is as it was then.
    ///
    /// ```
    /// use netabase::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64, balance: i64 }
    /// # #[tokio::main]
    /// # async fn main() -> netabase::Result<()> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// # let (a, b) = (directory.path().join("a"), directory.path().join("b"));
    /// # let first = Netabase::<Account>::start().data_dir(&a).listen("/ip4/127.0.0.1/tcp/0").await?;
    /// # let invite = first.invite(netabase::Role::Voter).await?;
    /// # let second = Netabase::<Account>::start().data_dir(&b).listen("/ip4/127.0.0.1/tcp/0").join(invite).await?;
    /// # second.put_record(Account { id: 1, balance: 10 }).await?;
    /// # second.shutdown().await?;
    /// # drop(first);
    /// // Of two voters, `a` is lost for good: `b` cannot go on by itself.
    /// let db = Netabase::<Account>::start().data_dir(&b).recover_alone().await?;
    /// let recovery = db.status().await?.recovery.expect("that is how this cluster began");
    /// println!("{} rounds are kept; {} of them were not known to be agreed on",
    ///     recovery.agreed + recovery.unconfirmed, recovery.unconfirmed);
    /// assert_eq!(db.get_record::<Account>(1).await?.map(|account| account.balance), Some(10));
    /// # db.shutdown().await
    /// # }
    /// ```
    pub fn recover_alone(mut self) -> Self {
        self.options.recover_alone = true;
        self
    }

    /// Fetches all records anew from another node, whatever this directory holds of them: for one that ended with
    /// [`Error::Quarantined`], or whose records are known to be wrong. The node keeps its key, its membership and its consensus
    /// log, and so its vote, which it uses again once the records are here. It is ready then; until then it reads nothing out.
    ///
    /// The records of before are replaced when the others are here whole, so there has to be room for both. A crash meanwhile
    /// leaves a directory that starts with `rebuild` only. Done once, the directory is started without this.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the directory was never used, or its node is the only voter of its cluster, and with
    /// [`join`](Start::join) or [`recover_alone`](Start::recover_alone); [`Error::NoQuorum`] when no other node gives the
    /// records.
    pub fn rebuild(mut self) -> Self {
        self.options.rebuild = true;
        self
    }

    /// The node's key, instead of the one in the data directory.
    pub fn identity(mut self, identity: impl Into<Identity>) -> Self {
        self.options.identity = Some(identity.into());
        self
    }

    /// How records are stored. A directory keeps the kind it was made with: with another one, the node does not start.
    /// Only what was kept in memory may be kept on disk from now on.
    pub fn store(mut self, kind: StoreKind) -> Self {
        self.options.store = kind;
        self
    }

    /// Bounds on what the node takes.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// How much of the node its peers may take: connections, streams, bytes, requests.
    pub fn network_limits(mut self, limits: NetworkLimits) -> Self {
        self.options.network_limits = limits;
        self
    }

    /// How fast the node notices failures, and how long it waits.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.options.tuning = tuning;
        self
    }

    async fn run(self) -> Result<Netabase<S>> {
        let Start { options, .. } = self;
        options.check()?;
        let catalog = Catalog::of::<S>()?;
        let wire = Wire::Sockets { listen: options.listen_addresses()?, sockets: Sockets::System };
        let directory = options.data_dir.clone();
        let in_directory = move |error| match error {
            Error::DataDirectory { reason } => {
                Error::DataDirectory { reason: format!("`{}`: {reason}", directory.display()) }
            }
            other => other,
        };
        let volume: Arc<dyn Volume> = Arc::new(Directory::open(&options.data_dir, options.tuning.cache_bytes)?);
        if options.recover_alone {
            used(&*volume).map_err(in_directory.clone())?;
        }
        let identity = match options.identity.clone() {
            Some(identity) => identity,
            None => Identity::load_or_create(&options.data_dir)?,
        };
        let me = identity.peer_id();
        if options.recover_alone {
            recover(&volume, me, catalog.clone(), options.store).await.map_err(in_directory.clone())?;
        }
        let beginning = match &options.join {
            Some(invite) => beginning_of(Door::Street(Sockets::System), invite, me, &catalog, &*volume)
                .await
                .map_err(in_directory.clone())?,
            None => options.beginning(me)?,
        };
        let role = options.join.as_ref().map(Invite::role);
        let assembly = Assembly {
            catalog,
            identity,
            beginning,
            rebuild: options.rebuild,
            volume,
            wire,
            store: options.store,
            limits: options.limits,
            network_limits: options.network_limits,
            tuning: options.tuning,
        };
        let node = Node::start(assembly).await.map_err(in_directory)?;
        if options.rebuild {
            node.rebuilt().await?;
        }
        if let Some(role) = role {
            node.arrived(role).await?;
        }
        Ok(Netabase::of(node))
    }
}

impl<S: Schema> IntoFuture for Start<S> {
    type Output = Result<Netabase<S>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
