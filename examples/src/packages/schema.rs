//! The records of the example: what a Debian archive says of its packages.

use netabase::prelude::*;
use serde::{Deserialize, Serialize};

/// One binary package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub(crate) struct Package {
    #[netabase(key)]
    pub(crate) name: String,
    pub(crate) version: String,
    #[netabase(index)]
    pub(crate) section: String,
    pub(crate) priority: String,
    #[netabase(index)]
    pub(crate) installed_size_kib: u64,
    pub(crate) download_bytes: u64,
}

/// That one package needs another, in the order in which the package lists them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
pub(crate) struct Dependency {
    #[netabase(key)]
    pub(crate) package: String,
    #[netabase(key)]
    pub(crate) position: u32,
    /// The name of the package that is needed: the index answers the reverse question.
    #[netabase(index)]
    pub(crate) on: String,
}

/// All of it: the schema of the cluster.
#[derive(NetabaseSchema)]
#[allow(dead_code)] // records travel as themselves; the enum says which there are
pub(crate) enum Archive {
    Package(Package),
    Dependency(Dependency),
}
