//! What a cluster began with, and what it tells a node that it lets in.

use std::collections::BTreeMap;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::id::{ClusterId, Voters};
use crate::schema::{Catalog, Fingerprint, RecordId};

/// What a cluster began with: its id follows from that, but for the versions, which its schema implies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charter {
    /// The voters of the first epoch, in order.
    pub(crate) founders: Vec<String>,
    /// Tells apart what the same founders begin more than once, as after a restore; zeros for a plain beginning.
    pub(crate) salt: [u8; 16],
    /// The schema of the founders: its fingerprint, and each record type's version.
    pub(crate) schema: Fingerprint,
    pub(crate) records: BTreeMap<RecordId, u8>,
}

impl Charter {
    pub(crate) fn founded(founders: &Voters, schema: &Catalog) -> Self {
        let founders = founders.iter().map(ToString::to_string).collect();
        Charter { founders, salt: [0; 16], schema: schema.fingerprint(), records: schema.newest() }
    }

    /// The founders; nothing, if one of them is no peer id.
    pub(crate) fn voters(&self) -> Option<Voters> {
        let founders: Option<Vec<PeerId>> = self.founders.iter().map(|founder| founder.parse().ok()).collect();
        founders.map(Voters::new)
    }

    /// The id of the cluster that began so.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.voters().map(|voters| ClusterId::of(&voters, &self.schema, &self.salt))
    }
}

/// What a cluster tells a node, or a client, that it has let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Admission {
    pub(crate) charter: Charter,
    pub(crate) cluster: ClusterId,
    /// The members, and where they are.
    pub(crate) peers: Vec<(String, Vec<String>)>,
}
