//! Linearizable reads: the local ones, once this node holds all that was acknowledged anywhere before the call.

use super::{Answer, Netabase, Records};
use crate::schema::{Agreed, IntoKey, Member, Query, Schema};

/// Reads that see every write that was acknowledged anywhere, through whichever node, before the read was called.
///
/// A read costs one round trip between the leader and a majority of the voters, and one more from another node to the
/// leader; reads that wait at the same time share them, and no disk is involved. Where no majority can be reached there is
/// no answer but an error: [`Error::NoQuorum`](crate::Error::NoQuorum), at once or when the request timeout is over. A
/// read changes nothing, so none "may have happened". Cheap to clone.
///
/// ```
/// use netabase::prelude::*;
/// # use netabase::testing::Cluster;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
/// # struct Account { #[netabase(key)] id: u64, balance: i64 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> netabase::Result<()> {
/// # let cluster = Cluster::<Account>::start(3).await?;
/// # let (db, another_node) = (cluster.node(0), cluster.node(1));
/// db.put_record(Account { id: 7, balance: 10 }).await?;
/// // A local read there might miss it; this one does not.
/// let account = another_node.linearizable().get_record::<Account>(7).await?;
/// assert_eq!(account.map(|account| account.balance), Some(10));
/// # cluster.shutdown().await
/// # }
/// ```
pub struct Linearizable<S: Schema>(Netabase<S>);

impl<S: Schema> Clone for Linearizable<S> {
    fn clone(&self) -> Self {
        Linearizable(self.0.clone())
    }
}

impl<S: Schema> std::fmt::Debug for Linearizable<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Linearizable").field(&self.0).finish()
    }
}

impl<S: Schema> Netabase<S> {
    /// The reads of this handle, but linearizable: see [`Linearizable`].
    #[must_use]
    pub fn linearizable(&self) -> Linearizable<S> {
        Linearizable(self.clone())
    }
}

impl<S: Schema> Linearizable<S> {
    /// The record under this key.
    ///
    /// # Errors
    /// [`Error::NoQuorum`](crate::Error::NoQuorum) when no majority answers,
    /// [`Error::Overloaded`](crate::Error::Overloaded) when too many reads wait already, and as
    /// [`Netabase::get_record`].
    pub fn get_record<R: Member<S> + Agreed>(&self, key: impl IntoKey<R::Key>) -> Answer<Option<R>> {
        let key = key.into_key();
        self.read(move |db| db.get_record::<R>(key))
    }

    /// The records under these keys, in their order, all as of one moment; `None` where there is none.
    ///
    /// # Errors
    /// As [`Linearizable::get_record`].
    pub fn get_records<R: Member<S> + Agreed>(
        &self,
        keys: impl IntoIterator<Item = impl IntoKey<R::Key>>,
    ) -> Answer<Vec<Option<R>>> {
        let keys: Vec<R::Key> = keys.into_iter().map(IntoKey::into_key).collect();
        self.read(move |db| db.get_records::<R>(keys))
    }

    /// The records that a query selects, in its order, all as of one moment.
    ///
    /// # Errors
    /// As [`Linearizable::get_record`].
    pub fn query<R: Member<S> + Agreed>(&self, query: Query<R>) -> Answer<Vec<R>> {
        self.read(move |db| db.query(query))
    }

    /// How many records a query selects, without reading them.
    ///
    /// # Errors
    /// As [`Linearizable::get_record`].
    pub fn count<R: Member<S> + Agreed>(&self, query: Query<R>) -> Answer<u64> {
        self.read(move |db| db.count(query))
    }

    /// The records that a query selects, in constant memory: [`Netabase::stream`], each page at least as new as this call.
    ///
    /// # Errors
    /// As [`Linearizable::get_record`].
    pub fn stream<R: Member<S> + Agreed>(&self, query: Query<R>) -> Answer<Records<R>> {
        self.read(move |db| Answer::ready(Ok(db.stream(query))))
    }

    fn read<T: Send + 'static>(&self, read: impl FnOnce(&Netabase<S>) -> Answer<T> + Send + 'static) -> Answer<T> {
        let db = self.0.clone();
        Answer::pending(async move {
            db.origin.confirm_reads().await?;
            read(&db).await
        })
    }
}
