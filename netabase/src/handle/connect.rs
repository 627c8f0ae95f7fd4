//! Connecting to a cluster: options, then `.await`.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use super::Netabase;
use crate::client::{Client, Parts, Target};
use crate::error::{Error, Result};
use crate::network::{Identity, Sockets};
use crate::node::{Door, Invite, Role, Tuning, Wire, knock};
use crate::schema::{Catalog, Schema};

/// A connection about to be made, by [`Netabase::connect`]. Await it; until then nothing happens.
#[derive(Clone, Debug)]
#[must_use = "a client connects when this is awaited"]
pub struct Connect<S: Schema> {
    invite: Invite,
    identity: Option<Identity>,
    identity_file: Option<PathBuf>,
    tuning: Tuning,
    schema: PhantomData<fn() -> S>,
}

impl<S: Schema> Connect<S> {
    pub(super) fn new(invite: Invite) -> Self {
        Connect { invite, identity: None, identity_file: None, tuning: Tuning::default(), schema: PhantomData }
    }

    /// The client's key. Without one, and without a file, the client is a new one each time.
    pub fn identity(mut self, identity: impl Into<Identity>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// The file that keeps the client's key; made if it is missing, readable by its owner only. With it the client is the
    /// same one when it connects again, and may use its invite again.
    pub fn identity_file(mut self, path: impl AsRef<Path>) -> Self {
        self.identity_file = Some(path.as_ref().to_owned());
        self
    }

    /// How long calls wait.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    async fn run(self) -> Result<Netabase<S>> {
        let Connect { invite, identity, identity_file, tuning, .. } = self;
        invite.check_role("connect", &[Role::Client, Role::Reader])?;
        let identity = match (identity, identity_file) {
            (Some(_), Some(_)) => {
                return Err(Error::Configuration {
                    option: "identity",
                    reason: "it is given twice: give a key, or a file that keeps one".into(),
                });
            }
            (Some(identity), None) => identity,
            (None, Some(path)) => Identity::load_or_create_file(&path)?,
            (None, None) => Identity::generate(),
        };
        let catalog = Catalog::of::<S>()?;
        let admission = knock(Door::Street(Sockets::System), &invite, identity.peer_id(), &catalog).await?;
        let target = Target::of(&admission, &invite);
        let wire = Wire::Sockets { listen: Vec::new(), sockets: Sockets::System };
        Client::connect(Parts { catalog, identity, target, wire, tuning }).await.map(Netabase::of_client)
    }
}

impl<S: Schema> IntoFuture for Connect<S> {
    type Output = Result<Netabase<S>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
