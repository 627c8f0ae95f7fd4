//! A cluster of node processes, on loopback or wherever a [`Host`] is, each with a directory of its own, that can be killed with SIGKILL.
//!
//! What a node acknowledged is what its `ack` lines said; they are read while the node runs. Dropping the cluster kills
//! every process that is left.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netabase::Identity;

use crate::{Host, words};

/// How long a node may take to say what it was asked for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to start: whoever joins receives everything first.
const START_PATIENCE: Duration = Duration::from_secs(240);
/// What a node says on its standard error.
const COMPLAINTS: &str = "complaints";
/// Lines of a node that may wait.
const LINES_MAX: usize = 1024;

/// What went wrong, for the test to print.
#[derive(Debug)]
pub struct Failed(pub String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// In the environment of a node: up to which version its program knows the notes.
pub const VERSION: &str = "NETABASE_TEST_NOTE_VERSION";

fn failed(what: impl std::fmt::Display) -> Failed {
    Failed(what.to_string())
}

/// A cluster of node processes.
#[derive(Debug)]
pub struct Processes {
    binary: PathBuf,
    places: Vec<Place>,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

#[derive(Debug, Default)]
struct Acknowledged {
    ids: BTreeSet<u64>,
    last: Option<Instant>,
    /// The longest time in which nothing was.
    stall: Duration,
}

impl Acknowledged {
    fn insert(&mut self, id: u64) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.stall = self.stall.max(now - last);
        }
        self.ids.insert(id);
    }
}

#[derive(Debug)]
struct Place {
    dir: PathBuf,
    host: Host,
    peer: String,
    /// What it is started with: the founders, the invite, or nothing.
    told: Vec<String>,
    /// Up to which version of the notes its program knows them.
    version: u8,
    running: Option<Running>,
}

impl Place {
    fn new(dir: PathBuf, host: Host) -> Result<Self, Failed> {
        std::fs::create_dir_all(&dir).map_err(failed)?;
        let peer = Identity::load_or_create(&dir).map_err(failed)?.peer_id().to_string();
        Ok(Place { dir, host, peer, told: Vec::new(), version: 1, running: None })
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Processes {
    /// Makes the directories of `nodes` nodes below `dir` and starts them all on loopback. `binary`:
    /// `netabase-test-node`.
    ///
    /// # Errors
    /// When a node does not start.
    pub fn start(binary: &Path, dir: &Path, nodes: usize) -> Result<Self, Failed> {
        Self::start_on(binary, dir, Host::on_loopback(nodes)?)
    }

    /// The same, with a node on each of these hosts.
    ///
    /// # Errors
    /// When a node does not start.
    pub fn start_on(binary: &Path, dir: &Path, hosts: Vec<Host>) -> Result<Self, Failed> {
        let place = |(node, host)| Place::new(dir.join(format!("node-{node}")), host);
        let mut places = hosts.into_iter().enumerate().map(place).collect::<Result<Vec<_>, _>>()?;
        let founders: Vec<String> =
            places.iter().map(|place| format!("{}/p2p/{}", place.host.listen(), place.peer)).collect();
        for place in &mut places {
            place.told.clone_from(&founders);
        }
        let mut cluster = Processes { binary: binary.to_owned(), places, acknowledged: Arc::default() };
        for node in 0..cluster.len() {
            cluster.restart(node)?;
        }
        Ok(cluster)
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The directory of a node.
    #[must_use]
    pub fn dir(&self, node: usize) -> &Path {
        &self.places[node].dir
    }

    /// From its next start on, a node has the program that knows the notes up to this version.
    pub fn set_version(&mut self, node: usize, version: u8) {
        self.places[node].version = version;
    }

    /// What a node is started with, after its directory and its address.
    #[must_use]
    pub fn told(&self, node: usize) -> &[String] {
        &self.places[node].told
    }

    /// Starts a node without waiting until it has started; nothing happens when it runs.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub fn launch(&mut self, node: usize) -> Result<(), Failed> {
        if self.places[node].running.is_some() {
            return Ok(());
        }
        let place = &self.places[node];
        let complaints = File::options().create(true).append(true).open(place.dir.join(COMPLAINTS)).map_err(failed)?;
        let mut child = place
            .host
            .command(&self.binary)
            .env(VERSION, place.version.to_string())
            .arg(&place.dir)
            .arg(place.host.listen())
            .args(&place.told)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take().ok_or_else(|| failed("the node has no input"))?;
        let output = child.stdout.take().ok_or_else(|| failed("the node has no output"))?;
        let (sender, lines) = sync_channel(LINES_MAX);
        let acknowledged = Arc::clone(&self.acknowledged);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                match words::split(&line) {
                    ("ack", id) => {
                        // A line cut short by the kill is no acknowledgement that anybody saw.
                        if let Ok(id) = id.parse() {
                            acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                        }
                    }
                    _ => {
                        if sender.send(line).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        self.places[node].running = Some(Running { child, input, lines, reader: Some(reader) });
        Ok(())
    }

    /// Starts a node and waits until it has started.
    ///
    /// # Errors
    /// What the node says when it cannot start.
    pub fn restart(&mut self, node: usize) -> Result<(), Failed> {
        if self.places[node].running.is_some() {
            return Ok(());
        }
        self.launch(node)?;
        let started = self.hear(node, "started").map(|_| ());
        if started.is_err() {
            self.kill(node)?;
        }
        started
    }

    /// SIGKILL. What it acknowledged before is read to the end.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub fn kill(&mut self, node: usize) -> Result<(), Failed> {
        let Some(mut running) = self.places[node].running.take() else { return Ok(()) };
        running.child.kill().map_err(failed)?;
        running.child.wait().map_err(failed)?;
        let Running { lines, reader, .. } = running;
        drop(lines);
        if let Some(reader) = reader {
            reader.join().map_err(|_| failed("the reader of a node's output panicked"))?;
        }
        Ok(())
    }

    /// Tells a node to stop in order, and does not wait until it has.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn stop(&mut self, node: usize) -> Result<(), Failed> {
        self.say(node, "stop")
    }

    /// Waits until a node that was told to stop has; one that was killed has ended.
    ///
    /// # Errors
    /// What the node says when it could not stop in order.
    pub fn ended(&mut self, node: usize) -> Result<(), Failed> {
        if self.places[node].running.is_none() {
            return Ok(());
        }
        let said = self.hear(node, "stopped")?;
        if said != "ok" {
            return Err(failed(format!("node {node} did not stop in order: {said}")));
        }
        self.kill(node)
    }

    /// Says a line to a node.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn say(&mut self, node: usize, line: &str) -> Result<(), Failed> {
        let running = self.places[node].running.as_mut().ok_or_else(|| failed("the node does not run"))?;
        writeln!(running.input, "{line}").and_then(|()| running.input.flush()).map_err(failed)
    }

    /// Waits for a line that begins with `word`, and returns what follows it.
    ///
    /// # Errors
    /// What the node says when it fails, or that it says nothing.
    pub fn hear(&mut self, node: usize, word: &str) -> Result<String, Failed> {
        let running = self.places[node].running.as_mut().ok_or_else(|| failed("the node does not run"))?;
        let deadline = Instant::now() + if word == "started" { START_PATIENCE } else { PATIENCE };
        loop {
            match running.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match words::split(&line) {
                    (heard, rest) if heard == word => return Ok(rest.to_owned()),
                    ("failed", why) => return Err(failed(format!("node {node} failed: {why}"))),
                    _ => {}
                },
                Err(RecvTimeoutError::Timeout) => return Err(failed(format!("node {node} did not say `{word}`"))),
                Err(RecvTimeoutError::Disconnected) => return Err(failed(format!("node {node} ended"))),
            }
        }
    }

    /// The most memory that a node held since its start or the last call, in bytes: what counts against it, shared
    /// code included.
    ///
    /// # Errors
    /// Where the system does not tell (it does on Linux).
    pub fn memory_peak(&mut self, node: usize) -> Result<u64, Failed> {
        let running = self.places[node].running.as_ref().ok_or_else(|| failed("the node does not run"))?;
        let proc = PathBuf::from(format!("/proc/{}", running.child.id()));
        let status = std::fs::read_to_string(proc.join("status")).map_err(failed)?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
        let peak: u64 = peak.and_then(|peak| peak.trim().parse().ok()).ok_or_else(|| failed("no peak is told"))?;
        std::fs::write(proc.join("clear_refs"), "5").map_err(failed)?;
        Ok(peak << 10)
    }

    /// Says a line and waits for the answer.
    ///
    /// # Errors
    /// As [`Processes::hear`].
    pub fn ask(&mut self, node: usize, line: &str) -> Result<String, Failed> {
        self.say(node, line)?;
        let (word, _) = words::split(line);
        self.hear(
            node,
            match word {
                "pause" => "paused",
                "check" => "missing",
                word => word,
            },
        )
    }

    /// The node that the running ones agree to follow, once they do.
    ///
    /// # Errors
    /// When they do not agree in time.
    pub fn leader(&mut self) -> Result<usize, Failed> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let running: Vec<usize> = (0..self.len()).filter(|&node| self.places[node].running.is_some()).collect();
            let seen = running.iter().map(|&node| self.ask(node, "leader")).collect::<Result<BTreeSet<_>, _>>()?;
            if let [leader] = &seen.into_iter().collect::<Vec<_>>()[..]
                && let Some(node) = self.places.iter().position(|place| place.peer == *leader)
            {
                return Ok(node);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(failed("the nodes do not agree on a leader"))
    }

    /// Adds a node on loopback that joins on an invite of another one, and waits until it has started. Its place is that
    /// of the last node from then on, also when it fails.
    ///
    /// # Errors
    /// What the node that invites, or the one that joins, says.
    pub fn join(&mut self, inviter: usize) -> Result<usize, Failed> {
        let host = Host::on_loopback(1)?.pop().ok_or_else(|| failed("no host"))?;
        self.join_on(inviter, host)
    }

    /// The same, with the new node on this host.
    ///
    /// # Errors
    /// What the node that invites, or the one that joins, says.
    pub fn join_on(&mut self, inviter: usize, host: Host) -> Result<usize, Failed> {
        let invite = self.invite(inviter)?;
        let node = self.places.len();
        let dir = self.places[0].dir.with_file_name(format!("node-{node}"));
        self.places.push(Place { told: vec![invite], ..Place::new(dir, host)? });
        self.restart(node)?;
        Ok(node)
    }

    /// Gives a node whose invite was refused another one, and waits until it has started.
    ///
    /// # Errors
    /// As [`Processes::join`].
    pub fn join_again(&mut self, node: usize, inviter: usize) -> Result<(), Failed> {
        self.places[node].told = vec![self.invite(inviter)?];
        self.restart(node)
    }

    fn invite(&mut self, inviter: usize) -> Result<String, Failed> {
        match self.ask(inviter, "invite")? {
            why if why.starts_with('-') => Err(failed(why)),
            invite => Ok(invite),
        }
    }

    /// An invite for a client, of this node.
    ///
    /// # Errors
    /// What the node says.
    pub fn invite_client(&mut self, inviter: usize) -> Result<netabase::Invite, Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask(inviter, "invite-client")? {
                // Nobody leads yet, or not any more.
                why if why.starts_with('-') && Instant::now() > deadline => return Err(failed(why)),
                why if why.starts_with('-') => {}
                invite => return invite.parse().map_err(failed),
            }
        }
    }

    /// Where a node listens.
    #[must_use]
    pub fn address(&self, node: usize) -> &str {
        self.places[node].host.listen()
    }

    /// How often a node refused something for this reason, a field of `netabase::Refused`.
    ///
    /// # Errors
    /// As [`Processes::ask`].
    pub fn refused(&mut self, node: usize, reason: &str) -> Result<u64, Failed> {
        let told = self.ask(node, "refused")?;
        let field = format!(" {reason}: ");
        let count = told.split_once(&field).and_then(|(_, rest)| rest.split([',', ' ']).next()?.parse().ok());
        count.ok_or_else(|| failed(format!("nothing is counted as {reason}: {told}")))
    }

    /// The id of a node.
    #[must_use]
    pub fn peer(&self, node: usize) -> &str {
        &self.places[node].peer
    }

    /// Whether a node runs.
    #[must_use]
    pub fn is_running(&self, node: usize) -> bool {
        self.places[node].running.is_some()
    }

    /// The nodes that are members, as this one knows it.
    ///
    /// # Errors
    /// As [`Processes::ask`].
    pub fn members(&mut self, node: usize) -> Result<Vec<usize>, Failed> {
        let members = self.ask(node, "members")?;
        let place = |peer: &str| self.places.iter().position(|place| place.peer == peer);
        Ok(members.split_whitespace().filter_map(place).collect())
    }

    /// What any node said on its standard error that tells of a panic.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        let complaints = |place: &Place| std::fs::read_to_string(place.dir.join(COMPLAINTS)).unwrap_or_default();
        let panics = |text: String| text.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect();
        self.places.iter().map(complaints).flat_map::<Vec<String>, _>(panics).collect()
    }

    /// The longest time so far in which no write was acknowledged.
    #[must_use]
    pub fn longest_stall(&self) -> Duration {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).stall
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).ids.len()
    }

    /// What was acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeSet<u64> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).ids.clone()
    }

    /// Waits until all running nodes report the same state hash; nothing may be written meanwhile.
    ///
    /// # Errors
    /// When two nodes differ at one round, or do not get to the same one in time.
    pub fn same_hash(&mut self) -> Result<String, Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let running: Vec<usize> = (0..self.len()).filter(|&node| self.is_running(node)).collect();
            let hashes = running.iter().map(|&node| self.ask(node, "hash")).collect::<Result<BTreeSet<_>, _>>()?;
            let hashes: Vec<String> = hashes.into_iter().collect();
            if let [hash] = &hashes[..] {
                return Ok(hash.clone());
            }
            let rounds: BTreeSet<&str> =
                hashes.iter().map(|hash| hash.split_once(':').map_or(hash.as_str(), |(round, _)| round)).collect();
            if rounds.len() < hashes.len() {
                return Err(failed(format!("nodes differ at one round: {hashes:?}")));
            }
            if Instant::now() > deadline {
                return Err(failed(format!("the nodes do not get to one round: {hashes:?}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for node in 0..self.len() {
            let _ = self.kill(node);
        }
    }
}
