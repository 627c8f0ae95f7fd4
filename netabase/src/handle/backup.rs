//! Backups.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Netabase;
use crate::error::{Error, Result};
use crate::node::{backup, restore};
use crate::schema::{Catalog, Schema};

/// A backup that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The round whose state it holds: everything that was written up to there, nothing of what came later.
    pub round: u64,
    /// How large the file is.
    pub bytes: u64,
}

impl<S: Schema> Netabase<S> {
    /// Writes everything that is agreed on into one file, while reads and writes go on: the state as of one round, which
    /// holds every write of this handle that returned before the call.
    ///
    /// The file ends with a hash of what is in it, and appears under its name only when it is whole and synced, its
    /// directory with it; until then its name ends in `.unfinished`. It must not be there yet. The node's own store keeps
    /// for that long what is replaced in it.
    ///
    /// # Errors
    /// [`Error::Configuration`] when there is something under that name; [`Error::Storage`] when the file cannot be written
    /// or the records cannot be read, after which nothing is left of it; [`Error::ShutDown`].
    ///
    /// ```
    /// use netabase::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64, balance: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> netabase::Result<()> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// let db = Netabase::<Account>::start().data_dir(directory.path().join("a")).await?;
    /// let receipt = db.put_record(Account { id: 1, balance: 10 }).await?;
    /// let backup = db.backup(directory.path().join("bank.backup")).await?;
    /// assert!(Some(backup.round) >= receipt.round());
    /// # db.shutdown().await
    /// # }
    /// ```
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<Backup> {
        let node = self.origin.node("backup")?;
        let (round, mut durable) = {
            let replica = node.replica()?;
            (replica.applied(), replica.follow_durable())
        };
        // What was acknowledged is in the log; the store follows within a second or so.
        tokio::select! {
            _ = durable.wait_for(|durable| *durable >= round) => {}
            () = node.ended() => return Err(node.failure().unwrap_or(Error::ShutDown)),
        }
        let state = node.replica()?.machine().durable_state();
        let (path, node) = (path.as_ref().to_owned(), Arc::clone(node));
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let asked = Arc::clone(&wanted.0);
        let written = tokio::task::spawn_blocking(move || {
            let goes_on = || asked.load(Ordering::Relaxed) && node.is_open();
            backup::write(&state, node.cluster, &path, &goes_on)
        });
        let packed = written.await.map_err(|_| Error::ShutDown)??;
        Ok(Backup { round: packed.id.round, bytes: packed.id.bytes })
    }
}

impl<S: Schema> Netabase<S> {
    /// Makes a new directory that holds what a backup does, for [`Netabase::start`] to resume: a cluster of one, with its own
    /// identity and its own id, so that it can never be taken for the cluster that was backed up. Others join it by invite.
    ///
    /// It goes on at the backup's round: records keep the rounds of their last writes, the change table is there, and named
    /// calls ([`Netabase::request_id`]) are still known, so that they are not done twice. Sessions and the list of members
    /// are not taken over. Records are stored with [`StoreKind::Redb`](crate::StoreKind::Redb).
    ///
    /// # Errors
    /// [`Error::Configuration`] when the directory is there and not empty, or the file is no backup;
    /// [`Error::SchemaMismatch`] when it was made with another schema; [`Error::Storage`] when it is damaged, or cannot be
    /// read or written. Nothing is left of the directory then.
    ///
    /// ```
    /// use netabase::prelude::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
    /// # struct Account { #[netabase(key)] id: u64, balance: i64 }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> netabase::Result<()> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// # let (data, backup) = (directory.path().join("a"), directory.path().join("bank.backup"));
    /// let db = Netabase::<Account>::start().data_dir(&data).await?;
    /// db.put_record(Account { id: 1, balance: 10 }).await?;
    /// db.backup(&backup).await?;
    /// db.shutdown().await?;
    ///
    /// let restored = directory.path().join("restored");
    /// Netabase::<Account>::restore(&backup, &restored).await?;
    /// let db = Netabase::<Account>::start().data_dir(&restored).await?;
    /// assert_eq!(db.get_record::<Account>(1).await?.map(|account| account.balance), Some(10));
    /// # db.shutdown().await
    /// # }
    /// ```
    pub async fn restore(backup: impl AsRef<Path>, data_dir: impl AsRef<Path>) -> Result<()> {
        restore(backup.as_ref(), data_dir.as_ref(), Catalog::of::<S>()?).await
    }
}

/// Whether somebody still waits for the backup.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
