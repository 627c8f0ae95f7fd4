//! The client's own thread: its swarm, its link and its pump, one task set, one runtime.
//!
//! Must hold: whoever holds the client can stop it; when the last one lets go, it stops by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::Target;
use super::link::Link;
use super::pump::Pump;
use super::shared::{Shared, Where};
use crate::desk;
use crate::error::{Error, Result};
use crate::network::{self, Identity, Network, NetworkConfig, NetworkEvent, NetworkLimits};
use crate::node::{RECORD_BYTES_CEILING, Tuning, Wire};
use crate::schema::Catalog;

/// What a client is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) catalog: Catalog,
    pub(crate) identity: Identity,
    pub(crate) target: Target,
    pub(crate) wire: Wire,
    pub(crate) tuning: Tuning,
}

/// A running client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    /// Starts a client and waits until a member has taken it.
    pub(crate) async fn connect(parts: Parts) -> Result<Arc<Client>> {
        let deadline = Instant::now() + parts.tuning.request_timeout;
        let (ready, started) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("netabase-client".into())
            .spawn(move || run(parts, ready, stopped))
            .map_err(|source| Error::Network { reason: format!("the client's thread cannot be started: {source}") })?;
        let shared = started.await.map_err(|_| Error::ShutDown)??;
        // From here on it stops when this is dropped.
        let client = Client { shared, stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)) };
        client.taken(deadline).await?;
        Ok(Arc::new(client))
    }

    /// Resolves when a member has taken this client, or said why none will.
    async fn taken(&self, deadline: Instant) -> Result<()> {
        let mut place = self.shared.place.subscribe();
        loop {
            let look = place.wait_for(|place| *place != Where::Looking);
            match tokio::time::timeout(LOOK_EVERY, look).await {
                Ok(Ok(place)) if *place != Where::Ended => return Ok(()),
                Ok(_) => return Err(self.shared.ending()),
                Err(_) => match self.shared.trouble() {
                    // These do not pass.
                    Some(error @ (Error::SchemaMismatch { .. } | Error::Configuration { .. })) => return Err(error),
                    trouble if Instant::now() >= deadline => return Err(trouble.unwrap_or_else(|| self.unreached())),
                    _ => {}
                },
            }
        }
    }

    fn unreached(&self) -> Error {
        let member = |(peer, addresses): &(libp2p::PeerId, Vec<libp2p::Multiaddr>)| {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{peer} ({})", addresses.join(", "))
        };
        let members: Vec<String> = self.shared.target.members.iter().map(member).collect();
        Error::Network {
            reason: format!(
                "no member of the cluster could be reached, of {}: check that one is up, and can be reached from here",
                members.join(", ")
            ),
        }
    }

    /// Stops, and resolves when the client's thread has ended.
    pub(crate) async fn shut_down(&self) {
        self.shared.close();
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// How often is looked why no member has taken the client yet.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

fn run(parts: Parts, ready: oneshot::Sender<Result<Arc<Shared>>>, stopped: oneshot::Receiver<()>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let reason = format!("the client's runtime cannot be started: {source}");
            let _ = ready.send(Err(Error::Network { reason }));
            return;
        }
    };
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async move {
        let Parts { catalog, identity, target, wire, tuning } = parts;
        let (network, events) = match open(&identity, &target, wire).await {
            Ok(opened) => opened,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let shared = Arc::new(Shared::new(network, identity.peer_id(), catalog, target, tuning.request_timeout));
        tokio::task::spawn_local(Pump::new(Arc::clone(&shared)).run());
        let link = Link::new(Arc::clone(&shared), events);
        let _ = ready.send(Ok(Arc::clone(&shared)));
        tokio::select! {
            () = link.run() => {}
            // Dropped with the last handle, too.
            _ = stopped => {}
        }
        shared.close();
    });
    drop(tasks);
    runtime.shutdown_background();
}

async fn open(identity: &Identity, target: &Target, wire: Wire) -> Result<(Network, mpsc::Receiver<NetworkEvent>)> {
    match wire {
        Wire::Sockets { listen, sockets } => {
            let defaults = NetworkLimits::default();
            let config = NetworkConfig {
                keypair: identity.keypair().clone(),
                listen,
                peers: target.members.clone(),
                // Whatever the cluster's own limit is.
                limits: NetworkLimits { client_bytes_max: desk::frame_bytes_max(RECORD_BYTES_CEILING), ..defaults },
                sockets,
            };
            let (network, events, driver) = network::start(config).await?;
            tokio::task::spawn_local(driver);
            Ok((network, events))
        }
        #[cfg(any(test, feature = "testing"))]
        Wire::Joined(network, events) => Ok((network, events)),
    }
}
