//! The handle: what a user holds of a running node, or of a connection to one.
//!
//! Local reads are answered at once, from the newest view of this node's records; writes go through the submitter and
//! return when they are applied here, so a handle always sees its own writes. Methods with a bound on a record type are
//! plain functions that return [`Answer`], so that an unmet bound is reported once.

mod answer;
mod backup;
mod change;
mod connect;
mod events;
#[cfg(test)]
mod expiry;
mod explain;
mod linearizable;
mod member;
mod origin;
mod read;
mod requested;
mod start;
mod status;
mod stream;
mod transaction;
mod tx;
mod watch;
mod write;

use std::marker::PhantomData;
use std::sync::Arc;

use libp2p::PeerId;

pub use self::answer::Answer;
pub use self::backup::Backup;
pub use self::change::{Change, Cursor};
pub use self::connect::Connect;
pub use self::events::Events;
pub use self::explain::Explain;
pub use self::linearizable::Linearizable;
use self::origin::Origin;
pub use self::requested::Requested;
pub use self::start::Start;
pub use self::status::{MemberStatus, StateHash, Status};
pub use self::stream::Records;
pub use self::tx::Tx;
pub use self::watch::{Changes, Watch};
use crate::client::Client;
use crate::error::Result;
use crate::node::{Invite, Node};
pub(crate) use crate::receipt::Receipt;
use crate::schema::{Schema, all_agreed};

/// A handle to a running node of the schema `S`. Cheap to clone; every clone is the same node.
///
/// The node stops when [`Netabase::shutdown`] is called, or when the last handle is dropped.
///
/// ```
/// use netabase::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
/// struct Account {
///     #[netabase(key)]
///     id: u64,
///     #[netabase(index)]
///     city: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> netabase::Result<()> {
/// # let directory = tempfile::tempdir().expect("a temporary directory");
/// let db = Netabase::<Account>::start().data_dir(directory.path()).await?;
/// db.put_record(Account { id: 7, city: "Paris".into() }).await?;
/// assert_eq!(db.query(Account::by_city("Paris")).await?.len(), 1);
/// db.shutdown().await
/// # }
/// ```
pub struct Netabase<S: Schema> {
    origin: Origin,
    schema: PhantomData<fn() -> S>,
}

impl<S: Schema> Clone for Netabase<S> {
    fn clone(&self) -> Self {
        Netabase { origin: self.origin.clone(), schema: PhantomData }
    }
}

impl<S: Schema> std::fmt::Debug for Netabase<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netabase").field("peer_id", &self.origin.peer_id()).finish_non_exhaustive()
    }
}

impl<S: Schema> Netabase<S> {
    /// Starts a node: awaited as it is, a cluster of one in `./netabase-data`.
    ///
    /// In this version a schema with a record that the nodes do not agree on is refused when the program is built (`cargo
    /// check` does not come that far); [`Store`](crate::store::Store) takes it.
    ///
    /// ```compile_fail
    /// use netabase::prelude::*;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Serialize, Deserialize, NetabaseSchema)]
    /// #[netabase(consistency = "eventual")] // without this it compiles
    /// struct Reading {
    ///     #[netabase(key)]
    ///     id: u64,
    /// }
    ///
    /// let _ = Netabase::<Reading>::start();
    /// ```
    pub fn start() -> Start<S> {
        const { all_agreed::<S>() };
        Start::new()
    }

    /// Connects to a cluster without holding any of its data: awaited, the same handle as a node's, whose reads and writes
    /// go to a member. When that one fails, it goes on at another one, by itself.
    ///
    /// Local reads are those of the member, and never older than what this handle has seen. Writes are done once, whatever
    /// happens to the member meanwhile; watches go on where they were, and transactions run again.
    pub fn connect(invite: Invite) -> Connect<S> {
        const { all_agreed::<S>() };
        Connect::new(invite)
    }

    pub(crate) fn of(node: Arc<Node>) -> Self {
        Netabase { origin: Origin::Here(node), schema: PhantomData }
    }

    pub(crate) fn of_client(client: Arc<Client>) -> Self {
        Netabase { origin: Origin::There(client), schema: PhantomData }
    }

    /// The id of this node, or client: that of its key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.origin.peer_id()
    }

    /// What this node knows of itself and its cluster.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage) with the reason, when the node has failed.
    pub async fn status(&self) -> Result<Status> {
        match &self.origin {
            Origin::Here(node) => status::of(node),
            Origin::There(client) => status::of_client(&client.shared).await,
        }
    }

    /// A hash over everything that is agreed on, with the round up to which it reaches: equal rounds, equal hashes, on
    /// every node and whatever the store. It reads every record.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage) when the records cannot be read.
    pub async fn state_hash(&self) -> Result<StateHash> {
        let node = match &self.origin {
            Origin::Here(node) => node,
            Origin::There(client) => {
                let (round, hash) = client.shared.state_hash().await?;
                return Ok(StateHash::new(round, hash));
            }
        };
        let state = node.replica()?.machine().state();
        let round = state.applied();
        let hash = tokio::task::spawn_blocking(move || state.hash()).await.map_err(|_| crate::Error::ShutDown)??;
        Ok(StateHash::new(round, hash.to_bytes()))
    }

    /// Makes everything durable and stops the node; every clone of this handle is then shut down.
    ///
    /// New writes are refused at once; those under way are given up to half a second. In that time a leader hands its
    /// leadership over, and sees another node lead, so that writes elsewhere hardly pause.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage) when the node had failed, or could not write the last rows; what was
    /// acknowledged is in the log all the same. [`Error::Removed`](crate::Error::Removed) when it had left the cluster and
    /// stopped by itself before.
    pub async fn shutdown(self) -> Result<()> {
        match &self.origin {
            Origin::Here(node) => node.shut_down().await,
            Origin::There(client) => {
                client.shut_down().await;
                Ok(())
            }
        }
    }
}
