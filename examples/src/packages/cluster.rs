//! Three node processes on loopback, as their parent sees them: started, asked, killed, restarted.
//!
//! The processes are this program once more, with the subcommand `node`. None outlives the parent: a
//! node whose standard input ends stops.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use netabase::Identity;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

use crate::{
    failure::Failure,
    protocol::{Numbered, Remedy, Reply, Request, START},
};

pub(crate) const NODES: usize = 3;

/// How long a node may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries of what can be tried again.
const PAUSE: Duration = Duration::from_millis(10);
/// Another process may take a free port between our finding it and a node's listening on it.
const PORT_TRIES: usize = 5;

pub(crate) struct Cluster {
    nodes: Vec<Node>,
}

pub(crate) struct Node {
    data_dir: PathBuf,
    peer_id: String,
    listen: String,
    founders: Vec<String>,
    process: Option<Process>,
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    number: u64,
}

/// What a node answers to a question, if not what was asked for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The process is gone or does not answer in time. A put may have happened.
    Gone,
    /// It says what is wrong.
    Failed { message: String, remedy: Remedy },
}

impl Cluster {
    /// Makes identities and addresses under `dir` and starts the nodes.
    pub(crate) async fn start(dir: &Path) -> Result<Cluster, Failure> {
        for attempt in 1.. {
            let mut cluster = Cluster { nodes: found(&dir.join(format!("cluster-{attempt}")))? };
            for node in &mut cluster.nodes {
                node.spawn()?;
            }
            match cluster.all_started().await {
                Err((_, Refusal::Failed { remedy: Remedy::OtherPorts, .. })) if attempt < PORT_TRIES => {}
                Err((node, refusal)) => return Err(cluster.nodes[node].explain("could not start", &refusal)),
                Ok(()) => return Ok(cluster),
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn all_started(&mut self) -> Result<(), (usize, Refusal)> {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.started().await.map_err(|refusal| (index, refusal))?;
        }
        Ok(())
    }

    pub(crate) fn node(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// The living nodes, `first` before the others if it lives.
    pub(crate) fn living(&self, first: usize) -> Vec<usize> {
        let order = (0..NODES).map(|step| (first + step) % NODES);
        order.filter(|index| self.nodes[*index].process.is_some()).collect()
    }

    /// The index of the leader, once one is known.
    pub(crate) async fn leader(&mut self) -> Result<usize, Failure> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            for index in self.living(0) {
                if let Ok(Reply::Status { leader: Some(leader), .. }) = self.nodes[index].ask(&Request::Status).await
                    && let Some(leader) = self.nodes.iter().position(|node| node.peer_id == leader)
                    && self.nodes[leader].process.is_some()
                {
                    return Ok(leader);
                }
            }
            sleep(PAUSE).await;
        }
        Err(Failure::new(format!("the nodes have had no leader for {} s", PATIENCE.as_secs())))
    }

    /// Sends a put to one node after the other until one answers that it is done. A put that may have
    /// happened is sent again: to write the same record twice changes nothing. Returns who did it.
    pub(crate) async fn put(&mut self, first: usize, request: &Request) -> Result<usize, Failure> {
        let until = Instant::now() + PATIENCE;
        let mut node = first;
        loop {
            for index in self.living(node) {
                node = index;
                match self.nodes[index].ask(request).await {
                    Ok(Reply::Done) => return Ok(index),
                    Ok(other) => return Err(Failure::new(format!("a put was answered with {other:?}"))),
                    Err(refusal) if refusal.lasts() => {
                        return Err(self.nodes[index].explain("refused a record", &refusal));
                    }
                    Err(refusal) if Instant::now() > until => {
                        return Err(self.nodes[index].explain("could not write in time", &refusal));
                    }
                    Err(_) => {}
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until every node has the same state at the same round, and returns both.
    pub(crate) async fn same_state(&mut self) -> Result<(u64, String), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut states = Vec::new();
            for node in &mut self.nodes {
                match node.ask(&Request::StateHash).await {
                    Ok(Reply::StateHash { round, hash }) => states.push((round, hash)),
                    Ok(other) => return Err(Failure::new(format!("a state hash was answered with {other:?}"))),
                    Err(refusal) => return Err(node.explain("could not tell its state hash", &refusal)),
                }
            }
            if let Some(first) = states.first()
                && states.iter().all(|state| state == first)
            {
                return Ok(first.clone());
            }
            let diverged = |(round, hash): &(u64, String)| states.iter().any(|(r, h)| r == round && h != hash);
            if states.iter().any(diverged) {
                return Err(Failure::new(format!("two nodes have different states at one round: {states:?}")));
            }
            if Instant::now() > until {
                return Err(Failure::new(format!("the nodes did not come to the same round: {states:?}")));
            }
            sleep(PAUSE).await;
        }
    }

    pub(crate) async fn shutdown(&mut self) -> Result<(), Failure> {
        for node in &mut self.nodes {
            match node.ask(&Request::Shutdown).await {
                Ok(_) => node.wait().await?,
                Err(refusal) => return Err(node.explain("could not shut down", &refusal)),
            }
        }
        Ok(())
    }
}

impl Node {
    /// Asks and waits for the answer.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Reply, Refusal> {
        self.send(request).await?;
        self.receive().await
    }

    async fn send(&mut self, request: &Request) -> Result<(), Refusal> {
        let process = self.process.as_mut().ok_or(Refusal::Gone)?;
        process.number += 1;
        let numbered = Numbered { number: process.number, body: request };
        let mut line = serde_json::to_vec(&numbered).expect("a request is plain data");
        line.push(b'\n');
        process.input.write_all(&line).await.map_err(|_| Refusal::Gone)
    }

    async fn receive(&mut self) -> Result<Reply, Refusal> {
        let process = self.process.as_mut().ok_or(Refusal::Gone)?;
        loop {
            let line = match timeout(PATIENCE, process.output.next_line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None) | Err(_)) | Err(_) => return Err(Refusal::Gone),
            };
            // What is not a reply is something that a library printed; what has an older number came too late.
            if let Ok(Numbered { number, body }) = serde_json::from_str(&line)
                && number == process.number
            {
                return match body {
                    Reply::Failed { message, remedy } => Err(Refusal::Failed { message, remedy }),
                    reply => Ok(reply),
                };
            }
        }
    }

    /// Kills the process at once, without a warning, as the system would (SIGKILL), and waits for its end.
    pub(crate) async fn kill(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            process.child.kill().await.map_err(|error| Failure::new(format!("cannot kill a node: {error}")))?;
        }
        Ok(())
    }

    /// Starts the process, again or for the first time; `started` says when it is ready.
    pub(crate) fn spawn(&mut self) -> Result<(), Failure> {
        let cannot = |error: io::Error| Failure::new(format!("cannot start a node process: {error}"));
        let log = fs::File::options().create(true).append(true).open(self.log()).map_err(cannot)?;
        let mut child = Command::new(std::env::current_exe().map_err(cannot)?)
            .arg("node")
            .args([self.data_dir.as_os_str(), self.listen.as_ref()])
            .args(&self.founders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new("a node process has no pipes"));
        };
        self.process = Some(Process { child, input, output: BufReader::new(output).lines(), number: START });
        Ok(())
    }

    pub(crate) async fn started(&mut self) -> Result<(), Refusal> {
        self.receive().await.map(|_| ())
    }

    async fn wait(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            let ended = timeout(PATIENCE, process.child.wait()).await;
            if !matches!(&ended, Ok(Ok(status)) if status.success()) {
                return Err(Failure::new(format!("a node did not end well after its shutdown: {ended:?}")));
            }
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.data_dir.with_extension("log")
    }

    /// A failure that says which node, what it said, and the end of what it wrote to standard error.
    pub(crate) fn explain(&self, what: &str, refusal: &Refusal) -> Failure {
        let said = match refusal {
            Refusal::Gone => "the process has ended or does not answer".into(),
            Refusal::Failed { message, .. } => message.clone(),
        };
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(10).collect();
        let mut message = format!("node {} {what}: {said}", self.data_dir.display());
        for line in end.into_iter().rev() {
            message.push_str("\n  | ");
            message.push_str(line);
        }
        Failure::new(message)
    }
}

impl Refusal {
    /// Whether another try would end the same way.
    fn lasts(&self) -> bool {
        matches!(self, Refusal::Failed { remedy, .. } if *remedy != Remedy::Retry)
    }
}

/// Gives each node a directory with an identity, and all of them the same list of founders.
fn found(dir: &Path) -> Result<Vec<Node>, Failure> {
    let cannot = |error: io::Error| Failure::new(format!("cannot prepare nodes in `{}`: {error}", dir.display()));
    // All at once, so that they differ.
    let listeners: Vec<TcpListener> =
        (0..NODES).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>().map_err(cannot)?;
    let mut nodes = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let data_dir = dir.join(format!("node-{}", index + 1));
        fs::create_dir_all(&data_dir).map_err(cannot)?;
        let identity = Identity::load_or_create(&data_dir)
            .map_err(|error| Failure::new(format!("cannot make an identity: {error}")))?;
        let port = listener.local_addr().map_err(cannot)?.port();
        nodes.push(Node {
            data_dir,
            peer_id: identity.peer_id().to_string(),
            listen: format!("/ip4/127.0.0.1/tcp/{port}"),
            founders: Vec::new(),
            process: None,
        });
    }
    let founders: Vec<String> = nodes.iter().map(|node| format!("{}/p2p/{}", node.listen, node.peer_id)).collect();
    for node in &mut nodes {
        node.founders.clone_from(&founders);
    }
    Ok(nodes)
}
