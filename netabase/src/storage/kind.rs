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
}
