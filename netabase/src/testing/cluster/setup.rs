//! Starting a cluster: options, then `.await`.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use super::medium::Medium;
use super::{Cluster, Place};
use crate::error::Result;
use crate::network::Links;
use crate::node::Tuning;
use crate::schema::{Catalog, Schema};
use crate::storage::StoreKind;
use crate::testing::fabric::Fabric;

/// A cluster about to be started, by [`Cluster::start`]. Await it; until then nothing happens.
///
/// ```
/// use netabase::prelude::*;
/// use netabase::testing::Cluster;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
/// # struct Account { #[netabase(key)] id: u64, balance: i64 }
/// # #[tokio::main]
/// # async fn main() -> netabase::Result<()> {
/// let mut cluster = Cluster::<Account>::start(3).over_sockets().store(StoreKind::Memory).await?;
/// let leader = cluster.leader().await?;
/// let others = [(leader + 1) % 3, (leader + 2) % 3];
/// cluster.partition([&others, &[leader]]);
/// cluster.node(others[0]).put_record(Account { id: 1, balance: 10 }).await?;
/// cluster.heal();
/// cluster.converged().await?;
/// # cluster.shutdown().await
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a cluster starts when this is awaited"]
pub struct Setup<S: Schema> {
    voters: usize,
    over_sockets: bool,
    seed: u64,
    tuning: Tuning,
    store: StoreKind,
    schema: PhantomData<fn() -> S>,
}

impl<S: Schema> Setup<S> {
    pub(super) fn new(voters: usize) -> Self {
        Setup {
            voters,
            over_sockets: false,
            seed: 0,
            tuning: Tuning::default(),
            store: StoreKind::Redb,
            schema: PhantomData,
        }
    }

    /// The nodes and clients speak over sockets of this machine rather than in memory, in one of the ways of production: libp2p
    /// on TCP, noise and yamux, each node on a free port of 127.0.0.1, another one after a restart. The faults are the same,
    /// as far as a stream of bytes has them: see [the module](crate::testing#memory-or-sockets).
    pub fn over_sockets(mut self) -> Self {
        self.over_sockets = true;
        self
    }

    /// What the network draws, which messages it loses and for how long it delays them, follows from this; 0 unless set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The timing of the nodes and of clients.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// What the nodes keep their records in; [`StoreKind::Redb`] unless set.
    pub fn store(mut self, store: StoreKind) -> Self {
        self.store = store;
        self
    }

    async fn run(self) -> Result<Cluster<S>> {
        let Setup { voters, over_sockets, seed, tuning, store, schema } = self;
        let medium = if over_sockets { Medium::Sockets(Links::new(seed)) } else { Medium::Memory(Fabric::new(seed)) };
        let places = (0..voters).map(|_| Place::new(None)).collect();
        let mut cluster = Cluster { catalog: Catalog::of::<S>()?, medium, tuning, store, places, schema };
        for place in 0..voters {
            cluster.restart(place).await?;
        }
        cluster.leader().await?;
        Ok(cluster)
    }
}

impl<S: Schema> IntoFuture for Setup<S> {
    type Output = Result<Cluster<S>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
