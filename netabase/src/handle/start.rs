//! Starting a node: options, then `.await`.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use super::Netabase;
use crate::error::{Error, Result};
use crate::network::Identity;
use crate::node::{Assembly, Directory, Door, Invite, Limits, Node, Options, Tuning, Wire, beginning_of};
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

    /// How fast the node notices failures, and how long it waits.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.options.tuning = tuning;
        self
    }

    async fn run(self) -> Result<Netabase<S>> {
        let Start { options, .. } = self;
        options.check()?;
        let catalog = Catalog::of::<S>()?;
        let wire = Wire::Sockets { listen: options.listen_addresses()? };
        let directory = options.data_dir.clone();
        let in_directory = move |error| match error {
            Error::DataDirectory { reason } => {
                Error::DataDirectory { reason: format!("`{}`: {reason}", directory.display()) }
            }
            other => other,
        };
        let volume = Directory::open(&options.data_dir)?;
        let identity = match options.identity.clone() {
            Some(identity) => identity,
            None => Identity::load_or_create(&options.data_dir)?,
        };
        let me = identity.peer_id();
        let beginning = match &options.join {
            Some(invite) => {
                beginning_of(Door::Street, invite, me, &catalog, &volume).await.map_err(in_directory.clone())?
            }
            None => options.beginning(me)?,
        };
        let role = options.join.as_ref().map(Invite::role);
        let assembly = Assembly {
            catalog,
            identity,
            beginning,
            volume: Arc::new(volume),
            wire,
            store: options.store,
            limits: options.limits,
            tuning: options.tuning,
        };
        let node = Node::start(assembly).await.map_err(in_directory)?;
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
