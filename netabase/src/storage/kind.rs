//! Which engine holds the rows.

/// How records are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// redb, a copy-on-write B-tree in one file. The default.
    #[default]
    Redb,
    /// In memory. A node rebuilds it from the consensus log at every start, which is therefore never shortened; a store
    /// alone begins empty.
    Memory,
    /// sled, a log-structured tree in one directory, with the cargo feature `sled`.
    ///
    /// For those who have reasons of their own: sled 0.34 is a beta, and its database is known to be damaged now and then
    /// when the process is killed or the power fails, whatever was synced before. Netabase syncs what sled leaves out,
    /// and damage that sled finds is an error; but sled may also go back to an earlier write without a word. A node
    /// makes good for that: it applies again what its consensus log, which is on redb, still has, and refuses to start if
    /// the log begins later. A store alone has no log: there, such writes are lost.
    ///
    /// What later writes replaced stays in memory while an older view is read. While sled applies a flush, reads of all
    /// sled stores of the process wait for it.
    #[cfg(feature = "sled")]
    Sled,
}
