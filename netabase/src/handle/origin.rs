//! Where a handle's records are: in this process, or at a member of the cluster.
//!
//! Must hold: a local read goes straight to a view, and is ready when it returns; what is typed is here in the handle, and
//! both sides of this seam know bytes only.

use std::sync::Arc;

use libp2p::PeerId;

use crate::client::{Client, Shared};
use crate::consensus::Submitter;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::schema::RecordId;
use crate::storage::Selecting;

/// What a handle reads from and writes to. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A node of this process.
    Here(Arc<Node>),
    /// A member, through a client.
    There(Arc<Client>),
}

impl Origin {
    pub(super) fn peer_id(&self) -> PeerId {
        match self {
            Origin::Here(node) => node.peer_id,
            Origin::There(client) => client.shared.peer_id,
        }
    }

    /// The way of writes, which is the same on both sides.
    pub(super) fn submitter(&self) -> Arc<Submitter> {
        Arc::clone(match self {
            Origin::Here(node) => &node.submitter,
            Origin::There(client) => &client.shared.submitter,
        })
    }

    pub(super) fn record_bytes_max(&self) -> usize {
        match self {
            Origin::Here(node) => node.record_bytes_max,
            Origin::There(client) => client.shared.record_bytes_max(),
        }
    }

    /// In which version records of this type are written now.
    pub(super) fn active(&self, record: RecordId) -> Result<Option<u8>> {
        match self {
            Origin::Here(node) => Ok(node.view()?.versions_of(record)?.map(|(_, active)| active)),
            Origin::There(client) => Ok(client.shared.active(record)),
        }
    }

    /// The node, for what only a node can do.
    pub(super) fn node(&self, call: &str) -> Result<&Arc<Node>> {
        match self {
            Origin::Here(node) => Ok(node),
            Origin::There(_) => Err(Error::NotAuthorized {
                reason: format!("`{call}` is for members, and this handle is a client's: call it on one of the nodes"),
            }),
        }
    }

    /// Resolves when what is read from then on holds every write that was acknowledged anywhere before the call.
    pub(super) async fn confirm_reads(&self) -> Result<()> {
        match self {
            Origin::Here(node) => node.confirm_reads().await,
            Origin::There(client) => client.shared.confirm_reads().await,
        }
    }
}

/// What is asked of a member does not keep the client running.
pub(super) fn at(client: &Client) -> Arc<Shared> {
    Arc::clone(&client.shared)
}
