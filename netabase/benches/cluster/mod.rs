//! What the benches share: nodes in this process over loopback TCP, and callers that time what they do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netabase::{Identity, Netabase, Schema, Status};

/// What a bench is told: `[--nodes N] [--seconds S] [--dir DIR] [NUMBER …]`.
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) seconds: u64,
    /// Callers, mostly: what the bench varies.
    pub(crate) numbers: Vec<usize>,
    dir: Option<PathBuf>,
    scratch: tempfile::TempDir,
}

impl Plan {
    pub(crate) fn from_arguments(default: &[usize]) -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory can be made");
        let mut plan = Plan { nodes: 3, seconds: 5, numbers: Vec::new(), dir: None, scratch };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse().ok());
            match word.as_str() {
                "--nodes" => plan.nodes = number().unwrap_or(3),
                "--seconds" => plan.seconds = number().unwrap_or(5) as u64,
                "--dir" => plan.dir = words.next().map(PathBuf::from),
                other => plan.numbers.extend(other.parse::<usize>().ok()),
            }
        }
        if plan.numbers.is_empty() {
            plan.numbers = default.to_vec();
        }
        plan
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap_or_else(|| self.scratch.path())
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Starts nodes that know each other, each with a directory of its own; the leader comes first.
pub(crate) async fn start<S: Schema>(plan: &Plan) -> netabase::Result<Vec<Netabase<S>>> {
    let mut founders = Vec::new();
    let mut places = Vec::new();
    for node in 0..plan.nodes {
        let place = plan.dir().join(node.to_string());
        std::fs::create_dir_all(&place).expect("a directory can be made");
        let identity = Identity::load_or_create(&place)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let listen = format!("/ip4/127.0.0.1/tcp/{}", port.expect("a port is free").port());
        founders.push(format!("{listen}/p2p/{}", identity.peer_id()));
        places.push((place, listen));
    }
    let mut started = Vec::new();
    for (place, listen) in places {
        started.push(Netabase::<S>::start().data_dir(place).listen(listen).founders(&founders).await?);
    }
    let leader = leader(&started).await?;
    started.swap(0, leader);
    Ok(started)
}

async fn leader<S: Schema>(nodes: &[Netabase<S>]) -> netabase::Result<usize> {
    loop {
        for (place, node) in nodes.iter().enumerate() {
            let Status { leader, peer_id, .. } = node.status().await?;
            if leader == Some(peer_id) {
                return Ok(place);
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Has each of so many callers do something again and again: how long each time took.
pub(crate) async fn load<F, Fut>(callers: usize, time: Duration, act: F) -> Times
where
    F: Fn(u64, u64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..callers as u64)
        .map(|caller| {
            let (act, stop) = (act.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut times, mut n) = (Vec::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    act(caller, n).await;
                    times.push(started.elapsed());
                    n += 1;
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a caller ends"));
    }
    times.sort_unstable();
    Times { times, time }
}

/// How long each call took, in order.
pub(crate) struct Times {
    times: Vec<Duration>,
    time: Duration,
}

impl Times {
    pub(crate) const HEAD: &str = "         /s     p50 ms     p99 ms     max ms";

    fn at(&self, part: f64) -> f64 {
        let place = (self.times.len() as f64 * part) as usize;
        self.times.get(place.min(self.times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = self.times.len() as f64 / self.time.as_secs_f64();
        write!(f, "{rate:>11.0} {:>10.3} {:>10.3} {:>10.3}", self.at(0.5), self.at(0.99), self.at(1.0))
    }
}
