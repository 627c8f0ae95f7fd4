//! What a cluster began with, and what it tells a node that it lets in.

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::id::{ClusterId, Voters};
use crate::schema::Fingerprint;

/// What a cluster began with: its id follows from that and from the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charter {
    /// The voters of the first epoch, in order.
    pub(crate) founders: Vec<String>,
    /// Tells apart what the same founders begin more than once, as after a restore; zeros for a plain beginning.
    pub(crate) salt: [u8; 16],
}

impl Charter {
    pub(crate) fn founded(founders: &Voters) -> Self {
        Charter { founders: founders.iter().map(ToString::to_string).collect(), salt: [0; 16] }
    }

    /// The founders; nothing, if one of them is no peer id.
    pub(crate) fn voters(&self) -> Option<Voters> {
        let founders: Option<Vec<PeerId>> = self.founders.iter().map(|founder| founder.parse().ok()).collect();
        founders.map(Voters::new)
    }

    /// The id of the cluster that began so with this schema.
    pub(crate) fn cluster(&self, schema: &Fingerprint) -> Option<ClusterId> {
        self.voters().map(|voters| ClusterId::of(&voters, schema, &self.salt))
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
