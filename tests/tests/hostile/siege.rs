//! A cluster of three processes with honest writers, a node's own and a client's, and the hostile peer beside them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netabase::testing::hostile::{Hostile, Papers};
use netabase::{Identity, Netabase};
use netabase_tests::{Failed, Note, Processes};
use tokio::runtime::Runtime;

/// What a hostile peer may cost a node.
const MEMORY_MORE: u64 = 50 << 20;
const WATCHED: Duration = Duration::from_secs(2);
const CALLERS: u64 = 16;
const FILL_BYTES: u64 = 4_096;

pub(crate) struct Siege {
    cluster: Processes,
    _dir: tempfile::TempDir,
    /// Of the honest client.
    honest: Runtime,
    client: Netabase<Note>,
    written: Arc<AtomicU64>,
    /// The node that is attacked: it leads.
    node: usize,
    lasts: Duration,
}

/// Between two attempts, so that it is the node that is tested, and not this machine.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

fn failed(what: impl std::fmt::Display) -> Failed {
    Failed(what.to_string())
}

fn runtime() -> Result<Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)
}

impl Siege {
    pub(crate) fn lay() -> Result<Siege, Failed> {
        let dir = tempfile::tempdir().map_err(failed)?;
        let mut cluster = Processes::start(Path::new(env!("CARGO_BIN_EXE_netabase-test-node")), dir.path(), 3)?;
        let node = cluster.leader()?;
        let (honest, invite) = (runtime()?, cluster.invite_client(node)?);
        let client = honest.block_on(async { Netabase::<Note>::connect(invite).await }).map_err(failed)?;
        Ok(Siege { cluster, _dir: dir, honest, client, written: Arc::default(), node, lasts: Duration::from_secs(3) })
    }

    /// For how long the next hostile peer stays.
    pub(crate) fn last(&mut self, lasts: Duration) {
        self.lasts = lasts;
    }

    /// Fills the store.
    pub(crate) fn fill(&mut self, bytes: u64) -> Result<(), Failed> {
        let filled =
            self.cluster.ask(self.node, &format!("fill {} {} {FILL_BYTES}", 1_u64 << 40, bytes / FILL_BYTES))?;
        // Read once, so that what the node keeps of it in memory is there before anybody means harm.
        self.cluster.ask(self.node, "hash")?;
        if filled == "ok" { Ok(()) } else { Err(failed(filled)) }
    }

    /// Somebody whom the cluster has let in as a client.
    pub(crate) fn client(&mut self) -> Result<Identity, Failed> {
        let (identity, invite) = (Identity::generate(), self.cluster.invite_client(self.node)?);
        let connect = Netabase::<Note>::connect(invite).identity(identity.clone());
        self.honest.block_on(async { connect.await.map(drop) }).map_err(failed)?;
        Ok(identity)
    }

    /// A voter that has stopped, and its key.
    pub(crate) fn spare_voter(&mut self) -> Result<(String, Identity), Failed> {
        let spare = (0..3).rev().find(|other| *other != self.node).ok_or_else(|| failed("there are three"))?;
        self.cluster.kill(spare)?;
        let identity = Identity::load_or_create(self.cluster.dir(spare)).map_err(failed)?;
        Ok((self.cluster.peer(spare).to_owned(), identity))
    }

    /// What the node tells a voter of itself.
    pub(crate) fn papers(&self, voter: &Identity) -> Result<Papers, Failed> {
        self.honest.block_on(async {
            let peer = Hostile::connect(voter, self.cluster.address(self.node)).await.map_err(failed)?;
            let deadline = Instant::now() + Duration::from_secs(20);
            while Instant::now() < deadline {
                if let Some(papers) = Papers::find(&peer.heard()) {
                    return Ok(papers);
                }
                pause().await;
            }
            Err(failed("the node greets nobody"))
        })
    }

    pub(crate) fn remove(&mut self, peer: &str) -> Result<(), Failed> {
        match self.cluster.ask(self.node, &format!("remove {peer}"))? {
            ok if ok == "ok" => Ok(()),
            why => Err(failed(why)),
        }
    }

    /// Watches the honest writers alone, and then beside the hostile peer.
    pub(crate) fn besiege<F: Future<Output = ()> + Send>(
        &mut self,
        who: &str,
        hostile: impl FnOnce(String) -> F,
    ) -> Result<(), Failed> {
        self.cluster.say((self.node + 1) % 3, &format!("write 1 {CALLERS}")).ok();
        self.cluster.say(self.node, &format!("write {} {CALLERS}", 1 << 30))?;
        let writers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (client, written) = (self.client.clone(), Arc::clone(&self.written));
                self.honest.spawn(async move {
                    for id in ((2 << 30) + caller..).step_by(CALLERS as usize) {
                        if client.put_record(Note::of(id)).await.is_ok() {
                            written.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        self.rates(Duration::from_millis(500), std::future::pending())?;
        self.cluster.memory_peak(self.node)?;
        let (nodes, clients) = self.rates(WATCHED, std::future::pending())?;
        let before = self.cluster.memory_peak(self.node)?;
        let peer = hostile(self.cluster.address(self.node).to_owned());
        let (nodes_then, clients_then) = self.rates(self.lasts, peer)?;
        let during = self.cluster.memory_peak(self.node)?;
        writers.iter().for_each(tokio::task::JoinHandle::abort);
        println!(
            "{who}: memory {} -> {} MiB; writes/s of nodes {nodes:.0} -> {nodes_then:.0}, of a client {clients:.0} -> {clients_then:.0}; {}",
            before >> 20,
            during >> 20,
            self.cluster.ask(self.node, "refused")?,
        );
        assert!(during < before + MEMORY_MORE, "{who}: from {before} to {during} bytes");
        assert!(nodes_then > 0.0 && clients_then > 0.0, "{who}: the honest write no more");
        assert_eq!(self.cluster.panics(), [""; 0]);
        Ok(())
    }

    /// Acknowledged writes a second, of nodes and of the client, while the peer does what it does for so long.
    fn rates(&self, lasts: Duration, peer: impl Future<Output = ()> + Send) -> Result<(f64, f64), Failed> {
        let counts = || (self.cluster.acknowledged_count(), self.written.load(Ordering::Relaxed));
        let (counted, since) = (counts(), Instant::now());
        let attack = runtime()?;
        // An error is that its time is over.
        let ended = attack.block_on(async { tokio::time::timeout(lasts, peer).await });
        attack.shutdown_background();
        assert!(ended.is_err(), "the hostile peer gave up");
        let (now, seconds) = (counts(), since.elapsed().as_secs_f64());
        Ok(((now.0 - counted.0) as f64 / seconds, (now.1 - counted.1) as f64 / seconds))
    }

    /// Expects that the node counted at least so many.
    pub(crate) fn refused(&mut self, reason: &str, at_least: u64) -> Result<(), Failed> {
        let count = self.cluster.refused(self.node, reason)?;
        assert!(count >= at_least, "{reason}: {count} were counted, {at_least} were expected");
        Ok(())
    }
}
