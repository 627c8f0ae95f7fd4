//! A cluster that grows from one node to three, to five, and shrinks to three again, while a program writes to it all
//! the time. One of the nodes that leave is the leader. No write that was acknowledged is lost.
//!
//! `grow --demo` works in a temporary directory and ends by itself; `grow SECONDS` stays that long at each size.
//!
//! Three kinds of handles meet here, all of the same type:
//! - each node is a process with a directory of its own: this program once more, with the subcommand `node`;
//! - the first node founds the cluster, the others join on an invite that any member writes;
//! - this process is a client: it came by an invite too, holds no data, and finds the members by itself.

use std::error::Error as StdError;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use netabase::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;

/// How long the cluster stays at a size in the demo.
const STAY: Duration = Duration::from_millis(1500);
/// How many writes are under way at a time.
const WRITERS: u64 = 16;
/// Between two tries of what may succeed later.
const PAUSE: Duration = Duration::from_millis(10);
/// How many times it may not, before there is something wrong.
const TRIES: usize = 1000;

type Outcome<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

/// What a thermometer says: the only record type of this program, so it is the whole schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, NetabaseSchema)]
struct Reading {
    #[netabase(key)]
    number: u64,
    place: String,
    celsius: i32,
}

impl Reading {
    /// The same for the same number, so that whoever reads it back knows what it must be.
    fn of(number: u64) -> Reading {
        Reading { number, place: format!("room {}", number % 40), celsius: 15 + (number * 7 % 13) as i32 }
    }
}

// ---------------------------------------------------------------------------------------------------- a node process

/// `grow node DIR [INVITE]`: a node that does what the lines of its input say, and ends when there are no more. It
/// answers each with one line: `ok …`, or `failed …`.
async fn node(dir: &str, invite: Option<&str>) -> Outcome<()> {
    // Port 0: any free one. A node that is to be found again after a restart names a port.
    let start = Netabase::<Reading>::start().data_dir(dir).listen("/ip4/127.0.0.1/tcp/0");
    let db = match invite {
        None => start.await?,
        // Returns when the node is a member and has caught up.
        Some(invite) => start.join(invite.parse()?).await?,
    };
    println!("ok {}", db.peer_id());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match obey(&db, &line).await {
            Ok(answer) => println!("ok {answer}"),
            Err(error) => println!("failed {error}"),
        }
    }
    match db.shutdown().await {
        // It left the cluster, heard of it, and has stopped by itself.
        Ok(()) | Err(Error::Removed) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn obey(db: &Netabase<Reading>, line: &str) -> Outcome<String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match word {
        "invite-voter" => db.invite(Role::Voter).await?.to_string(),
        "invite-client" => db.invite(Role::Client).await?.to_string(),
        "leader" => db.status().await?.leader.map(|leader| leader.to_string()).unwrap_or_default(),
        "remove" => {
            db.remove_member(rest.parse()?).await?;
            String::new()
        }
        "hash" => db.state_hash().await?.to_string(),
        "read-back" => read_back(db, rest.parse()?).await?.to_string(),
        _ => return Err(format!("what is `{word}`?").into()),
    })
}

/// Reads every record of this node's own copy, once it holds all that was acknowledged anywhere before; how many of the
/// first `told` are missing or are not what was written.
async fn read_back(db: &Netabase<Reading>, told: u64) -> netabase::Result<u64> {
    let mut readings = db.linearizable().stream(Reading::all()).await?;
    let mut right = 0;
    while let Some(reading) = readings.next().await {
        let reading = reading?;
        right += u64::from(reading.number < told && reading == Reading::of(reading.number));
    }
    Ok(told - right)
}

/// A node process, as its parent sees it.
struct Node {
    name: String,
    peer_id: String,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    process: Child,
}

impl Node {
    /// Returns when the node has started, and has joined if it was invited.
    async fn spawn(dir: &Path, number: usize, invite: Option<String>) -> Outcome<Node> {
        let name = format!("node {number}");
        let mut process = Command::new(std::env::current_exe()?)
            .arg("node")
            .arg(dir.join(format!("node-{number}")))
            .args(invite)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = process.stdin.take().ok_or("a node has no input")?;
        let output = BufReader::new(process.stdout.take().ok_or("a node has no output")?).lines();
        let mut node = Node { name, peer_id: String::new(), input, output, process };
        node.peer_id = node.answer().await?;
        Ok(node)
    }

    async fn ask(&mut self, line: &str) -> Outcome<String> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Outcome<String> {
        let line = self.output.next_line().await?.ok_or_else(|| format!("{} has ended", self.name))?;
        match line.split_once(' ') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            _ => Err(format!("{}: {line}", self.name).into()),
        }
    }

    /// Ends its input, upon which it shuts down.
    async fn stop(self) -> Outcome<()> {
        let Node { name, input, mut process, .. } = self;
        drop(input);
        let status = process.wait().await?;
        if status.success() { Ok(()) } else { Err(format!("{name} did not stop in order: {status}").into()) }
    }
}

// ------------------------------------------------------------------------------------- the client that always writes

/// What the writers share.
struct Writing {
    /// The number of the next record. A writer that has drawn a number writes it, whatever it takes.
    next: AtomicU64,
    stop: AtomicBool,
    acknowledged: Mutex<Acknowledged>,
}

struct Acknowledged {
    writes: u64,
    last: Instant,
    /// The longest time without an acknowledgement, and the longest one since it was last asked for.
    stall: Duration,
    stall_now: Duration,
}

impl Writing {
    fn new() -> Writing {
        let none = Acknowledged { writes: 0, last: Instant::now(), stall: Duration::ZERO, stall_now: Duration::ZERO };
        Writing { next: AtomicU64::new(0), stop: AtomicBool::new(false), acknowledged: Mutex::new(none) }
    }

    fn acknowledge(&self) {
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let stall = acknowledged.last.elapsed();
        acknowledged.last += stall;
        acknowledged.stall = acknowledged.stall.max(stall);
        acknowledged.stall_now = acknowledged.stall_now.max(stall);
        acknowledged.writes += 1;
    }

    /// Writes so far, the longest stall of all, and the longest since this was last called.
    fn so_far(&self) -> (u64, Duration, Duration) {
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let stall_now = std::mem::take(&mut acknowledged.stall_now);
        (acknowledged.writes, acknowledged.stall, stall_now)
    }
}

/// Writes one record after the other until it is told to stop.
async fn write(db: Netabase<Reading>, writing: Arc<Writing>) -> netabase::Result<()> {
    while !writing.stop.load(Ordering::Relaxed) {
        let number = writing.next.fetch_add(1, Ordering::Relaxed);
        loop {
            match db.put_record(Reading::of(number)).await {
                Ok(_) => break writing.acknowledge(),
                // It may or may not have been written. To write the same once more changes nothing.
                Err(Error::NoQuorum | Error::Timeout | Error::ConnectionLost | Error::Overloaded { .. }) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

// ------------------------------------------------------------------------------------------------------- the whole

/// The nodes that are members now.
struct Cluster<'a> {
    dir: &'a Path,
    nodes: Vec<Node>,
    /// How many nodes there ever were.
    made: usize,
}

impl Cluster<'_> {
    /// Starts one more node: the first one founds the cluster, each other one joins it.
    async fn add(&mut self) -> Outcome<()> {
        let invite = match self.nodes.last_mut() {
            None => None,
            Some(member) => Some(member.ask("invite-voter").await?), // any member will do
        };
        self.made += 1;
        let node = Node::spawn(self.dir, self.made, invite).await?;
        println!("  {} {}", node.name, if self.nodes.is_empty() { "founds the cluster" } else { "has joined" });
        self.nodes.push(node);
        Ok(())
    }

    /// Where the leader stands in the list, once there is one.
    async fn leader(&mut self) -> Outcome<usize> {
        for _ in 0..TRIES {
            let leader = self.nodes[0].ask("leader").await?;
            if let Some(index) = self.nodes.iter().position(|node| node.peer_id == leader) {
                return Ok(index);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("nobody leads".into())
    }

    /// Removes a member for good, and stops its process.
    async fn remove(&mut self, index: usize, what: &str) -> Outcome<()> {
        let gone = self.nodes.remove(index);
        self.nodes[0].ask(&format!("remove {}", gone.peer_id)).await?;
        println!("  {}, {what}, is removed", gone.name);
        gone.stop().await
    }

    /// The state hash that all nodes have, once all have applied the same writes. Nothing may be written meanwhile.
    async fn same_hash(&mut self) -> Outcome<String> {
        for _ in 0..TRIES {
            let mut hashes = Vec::new();
            for node in &mut self.nodes {
                hashes.push(node.ask("hash").await?); // `ROUND:HASH`
            }
            hashes.dedup();
            if let [hash] = &hashes[..] {
                return Ok(hash.clone());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("the nodes do not come to one state".into())
    }
}

async fn run(dir: &Path, stay: Duration) -> Outcome<()> {
    let start = Instant::now();
    let mut cluster = Cluster { dir, nodes: Vec::new(), made: 0 };
    cluster.add().await?;

    // From now on there are writes, whatever happens to the cluster.
    let invite: Invite = cluster.nodes[0].ask("invite-client").await?.parse()?;
    let client = Netabase::<Reading>::connect(invite).await?;
    let writing = Arc::new(Writing::new());
    let began = Instant::now();
    let mut writers: JoinSet<_> = (0..WRITERS).map(|_| write(client.clone(), Arc::clone(&writing))).collect();

    for size in [1, 3, 5, 3] {
        while cluster.nodes.len() < size {
            cluster.add().await?;
        }
        if cluster.nodes.len() > size {
            let leader = cluster.leader().await?;
            cluster.remove(leader, "the leader").await?;
            cluster.remove(0, "the oldest").await?;
        }
        let (before, _, changing) = writing.so_far();
        let since = Instant::now();
        tokio::time::sleep(stay).await;
        let (after, _, staying) = writing.so_far();
        println!(
            "size {size}: {:.0} writes/s; longest stall {} ms, and {} ms on the way there",
            (after - before) as f64 / since.elapsed().as_secs_f64(),
            staying.as_millis(),
            changing.as_millis(),
        );
    }

    writing.stop.store(true, Ordering::Relaxed);
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    let time = began.elapsed();
    client.shutdown().await?;

    // Every number that was drawn was written, so what is there must be exactly the numbers below the next one.
    let (told, stall, _) = writing.so_far();
    assert_eq!(told, writing.next.load(Ordering::Relaxed));
    let hash = cluster.same_hash().await?;
    for node in &mut cluster.nodes {
        let missing = node.ask(&format!("read-back {told}")).await?;
        assert_eq!(missing, "0", "acknowledged writes are missing at {}", node.name);
        println!("{} has all {told} records, state {}", node.name, &hash[..hash.len().min(24)]);
    }
    println!(
        "{told} writes in {:.1} s, {:.0} writes/s, longest stall {} ms; done after {:.1} s",
        time.as_secs_f64(),
        told as f64 / time.as_secs_f64(),
        stall.as_millis(),
        start.elapsed().as_secs_f64(),
    );
    for node in cluster.nodes {
        node.stop().await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let stay = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["node", dir] => return node(dir, None).await,
        ["node", dir, invite] => return node(dir, Some(invite)).await,
        [] | ["--demo"] => STAY,
        [seconds] => Duration::from_secs(seconds.parse().map_err(|_| "usage: grow [--demo | SECONDS]")?),
        _ => return Err("usage: grow [--demo | SECONDS]".into()),
    };
    let scratch = tempfile::tempdir()?;
    run(scratch.path(), stay).await
}
