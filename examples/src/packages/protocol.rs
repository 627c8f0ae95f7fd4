//! What the parent and a node process say to each other: one JSON document a line, over the node's
//! standard input and output. Every request gets one reply that carries its number.

use serde::{Deserialize, Serialize};

use crate::schema::{Dependency, Package};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Numbered<T> {
    pub(crate) number: u64,
    pub(crate) body: T,
}

/// The number of what a node says unasked when it has started, or failed to.
pub(crate) const START: u64 = 0;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    PutPackages(Vec<Package>),
    PutDependencies(Vec<Dependency>),
    Status,
    StateHash,
    /// Which packages depend on this one?
    Dependents {
        on: String,
    },
    OfSection {
        section: String,
    },
    NamesThatStartWith {
        prefix: String,
    },
    /// A page of all packages in key order.
    Packages {
        after: Option<String>,
        limit: usize,
    },
    /// A page of all dependencies in key order.
    Dependencies {
        after: Option<(String, u32)>,
        limit: usize,
    },
    Shutdown,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Started,
    Done,
    Status { peer_id: String, leader: Option<String> },
    StateHash { round: u64, hash: String },
    Packages(Vec<Package>),
    Dependencies(Vec<Dependency>),
    Failed { message: String, remedy: Remedy },
}

/// What the parent can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Remedy {
    /// Try again, perhaps at another node. (Puts may have happened, and may be repeated.)
    Retry,
    /// Try again with other ports.
    OtherPorts,
    None,
}
