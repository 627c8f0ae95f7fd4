//! The public error: a leaf of the crate, one variant for each thing that a caller can act on.
//!
//! Every message says what happened and, where something can be done about it, what to do.

use std::error::Error as StdError;

/// The result of a Netabase operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, one variant a thing that a caller can act on.
///
/// A write that failed either did not happen, or may have: [`Error::may_have_happened`] says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No majority of the voters can be reached. The write was not proposed and did not happen.
    #[error(
        "no majority of the cluster's voters answers; the operation did not happen: check that most nodes are up and can reach each other, then try again"
    )]
    NoQuorum,

    /// The outcome did not become known in time. A write may have happened.
    #[error(
        "the outcome did not become known in time; a write may have happened: read the record before you write it again"
    )]
    Timeout,

    /// The connection over which the operation was sent went away. A write may have happened.
    #[error(
        "the connection was lost before the outcome was known; a write may have happened: read the record before you write it again"
    )]
    ConnectionLost,

    /// Another record holds the value of a unique index. The write did not happen.
    #[error("another `{record}` already has this value of the unique index `{index}`")]
    UniqueViolation {
        /// The stored name of the record type.
        record: String,
        /// The name of the unique index.
        index: String,
    },

    /// `insert_record` found a record under this key. The write did not happen.
    #[error("a `{record}` with this key already exists: use `put_record` to overwrite it")]
    AlreadyExists {
        /// The stored name of the record type.
        record: String,
    },

    /// A transaction's reads were changed by others each time that it ran. It did not happen.
    #[error(
        "the records that the transaction read were changed by others each time it ran; it did not happen: read less in it, or have fewer callers change the same records at once"
    )]
    Conflict,

    /// The closure of a transaction gave it up with [`Error::abort`]. It did not happen.
    #[error("the transaction was given up: {0}")]
    Aborted(#[source] Box<dyn StdError + Send + Sync>),

    /// A transaction read or wrote more than one entry of the log may hold. It was not sent.
    #[error("the transaction is too large and was not sent: {reason}")]
    TransactionTooLarge {
        /// What there is too much of, and the limit.
        reason: String,
    },

    /// `put_records` stopped at a record. Those before it are in; of those after it, some may be.
    #[error("record {index} of the batch failed, and {applied} are in: {source}")]
    Batch {
        /// How many records are known to be applied.
        applied: u64,
        /// The position in the input of the first record that failed.
        index: u64,
        /// Why it failed.
        #[source]
        source: Box<Error>,
    },

    /// A bounded queue is full. The operation did not happen.
    #[error(
        "the node has as many operations waiting as it may ({limit}); nothing was sent: wait for some to finish, then try again"
    )]
    Overloaded {
        /// The bound of the queue that is full.
        limit: usize,
    },

    /// This node or client may not do this.
    #[error("not authorized: {reason}")]
    NotAuthorized {
        /// Who refused, and what it would take.
        reason: String,
    },

    /// An invite cannot be used: not one, damaged, expired, used by another, or for something else.
    #[error("the invite cannot be used: {reason}")]
    InvalidInvite {
        /// What is wrong with it, and what to do.
        reason: String,
    },

    /// The schema of this program and that of the directory or of a peer differ.
    #[error(
        "the schemas differ: ours is {ours}, theirs is {theirs}; open it with the program that wrote it, or change the schema back"
    )]
    SchemaMismatch {
        /// Our schema: record name and fingerprint of the first difference.
        ours: String,
        /// Theirs: record name and fingerprint of the first difference.
        theirs: String,
    },

    /// A value of this record type cannot be written or read back.
    #[error("a `{record}` cannot be encoded or decoded: {reason}")]
    Codec {
        /// The stored name of the record type.
        record: String,
        /// What the codec said.
        reason: String,
    },

    /// A watch was to begin with changes that are no longer kept.
    #[error(
        "the changes from there on are no longer kept, the oldest ones are of round {oldest}: begin there, or with what there is now (`with_current()`)"
    )]
    Compacted {
        /// The oldest round to begin from.
        oldest: u64,
    },

    /// A watch was read so slowly that changes it had not seen are no longer kept. It goes on with the oldest ones that
    /// are.
    #[error(
        "the watch was read too slowly: the changes of {missed} rounds are gone, and it goes on behind them: read what it watches anew"
    )]
    Lagged {
        /// How many rounds' changes it missed.
        missed: u64,
    },

    /// The record type, or this version of it, is not written yet: some member of the cluster cannot read it. It did not
    /// happen.
    #[error(
        "`{record}` is not written{} yet, since some member of the cluster does not read it: start the new program on every member (`status()` says which are missing), then try again",
        shown_version(*active)
    )]
    UpgradePending {
        /// The stored name of the record type.
        record: String,
        /// The version that is written as yet; `None`, if the cluster does not have the record type.
        active: Option<u8>,
    },

    /// The index is new, and not every record is in it yet.
    #[error(
        "the index `{index}` of `{record}` is still being built: wait until `status()` says that all records are converted, or search without it"
    )]
    IndexNotReady {
        /// The stored name of the record type.
        record: String,
        /// The name of the index.
        index: String,
    },

    /// The record, with its key, is larger than the limit. It was not sent.
    #[error(
        "the `{record}` takes {bytes} bytes, more than the limit of {bytes_max}: make it smaller, or raise `Limits::record_bytes_max` on every node"
    )]
    RecordTooLarge {
        /// The stored name of the record type.
        record: String,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },

    /// An option given to `start()` cannot work.
    #[error("the option `{option}` cannot be used: {reason}")]
    Configuration {
        /// The name of the option.
        option: &'static str,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },

    /// The data directory cannot be used: locked, damaged or foreign.
    #[error("the data directory cannot be used: {reason}")]
    DataDirectory {
        /// What is wrong with it, and what to do.
        reason: String,
    },

    /// The disk failed or is full. What was acknowledged stays readable.
    #[error("storage failed: {reason}")]
    Storage {
        /// What the disk said, and what to do.
        reason: String,
        /// The underlying error.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },

    /// The network cannot be used.
    #[error("the network failed: {reason}")]
    Network {
        /// What failed, and what to do.
        reason: String,
    },

    /// This node was removed from the cluster. It votes no longer and takes nothing any more; what it did not apply before,
    /// it never will.
    #[error(
        "this node was removed from the cluster: to take part again, ask a member for an invite and join with an empty directory"
    )]
    Removed,

    /// A majority of the voters holds other records than this node, whose disk or memory must have changed some. It has ended,
    /// and reads nothing out any more.
    #[error(
        "a majority of the voters held other records than this node at round {round}, so it has ended: check its disk and memory, then start it with `rebuild()`, and it fetches all records anew"
    )]
    Quarantined {
        /// In which round that was seen. What differs may have been written before.
        round: u64,
    },

    /// This handle's node has been shut down.
    #[error("this node has been shut down")]
    ShutDown,
}

impl Error {
    /// Whether the write that gave this error may have happened all the same.
    ///
    /// `false` means that it did not happen and never will; `true` that its outcome is unknown:
    /// read before you write again.
    ///
    /// ```
    /// use netabase::Error;
    /// assert!(Error::Timeout.may_have_happened());
    /// assert!(!Error::NoQuorum.may_have_happened());
    /// ```
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Error::Timeout | Error::ConnectionLost => true,
            Error::Batch { source, .. } => source.may_have_happened(),
            _ => false,
        }
    }

    /// Gives up a transaction from within its closure: nothing of it happens, and the caller gets the reason back.
    ///
    /// ```
    /// use netabase::Error;
    /// let error = Error::abort("no such account");
    /// assert_eq!(error.to_string(), "the transaction was given up: no such account");
    /// ```
    pub fn abort(reason: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Error::Aborted(reason.into())
    }

    /// The reason given to [`Error::abort`], if it is of this type.
    ///
    /// ```
    /// use netabase::Error;
    /// #[derive(Debug, PartialEq, thiserror::Error)]
    /// #[error("{missing} too little")]
    /// struct TooPoor { missing: i64 }
    ///
    /// let error = Error::abort(TooPoor { missing: 5 });
    /// assert_eq!(error.aborted::<TooPoor>(), Some(&TooPoor { missing: 5 }));
    /// assert!(Error::NoQuorum.aborted::<TooPoor>().is_none());
    /// ```
    #[must_use]
    pub fn aborted<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Error::Aborted(reason) => reason.downcast_ref(),
            _ => None,
        }
    }

    pub(crate) fn storage(reason: impl Into<String>, source: impl StdError + Send + Sync + 'static) -> Self {
        Error::Storage { reason: reason.into(), source: Some(Box::new(source)) }
    }
}

fn shown_version(active: Option<u8>) -> String {
    active.map_or_else(String::new, |active| format!(" in a later version than {active}"))
}
