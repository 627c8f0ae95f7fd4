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
    /// For those who have reasons of their own: sled 0.34 is a beta that is no longer maintained, and its database is
    /// known to be damaged now and then when the process is killed or the power fails, whatever was synced before.
    /// Netabase syncs what sled leaves out, and says so when it finds damage; it cannot repair it. A write that returned
    /// `Ok` is still in the consensus logs of a majority, on redb; the records of a store alone are in sled only.
    #[cfg(feature = "sled")]
    Sled,
}
