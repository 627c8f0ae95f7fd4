//! Where a node process runs: how it is started there, on which address it listens, and what it is told there by its
//! environment.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use netabase::Tuning;

use crate::Failed;

/// How often the leader shows that it is alive, and how long it may be silent, in milliseconds: `50,250`.
const HEARTBEAT_MS: &str = "NETABASE_NODE_HEARTBEAT_MS";
/// How wrong the clock is, in seconds.
const SKEW_S: &str = "NETABASE_NODE_SKEW_S";

/// A place for one node process.
#[derive(Debug)]
pub struct Host {
    /// The command that starts there what follows it; none where nothing is needed.
    through: Vec<String>,
    listen: String,
    settings: Vec<(&'static str, String)>,
}

impl Host {
    /// Where `through` leads, for a node that listens at this multiaddress.
    #[must_use]
    pub fn new(through: Vec<String>, listen: String) -> Self {
        Host { through, listen, settings: Vec::new() }
    }

    /// So many places on this machine, with ports that were free just now.
    ///
    /// # Errors
    /// Where no port is free.
    pub fn on_loopback(places: usize) -> Result<Vec<Self>, Failed> {
        // The ports are held together, so that they differ, and let go for the nodes to take.
        let ports: Vec<TcpListener> = (0..places)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()
            .map_err(|error| Failed(error.to_string()))?;
        let place = |port: &TcpListener| {
            let port = port.local_addr().map_err(|error| Failed(error.to_string()))?.port();
            Ok(Host::new(Vec::new(), format!("/ip4/127.0.0.1/tcp/{port}")))
        };
        ports.iter().map(place).collect()
    }

    /// With other heartbeats than the default ones.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration, silence: Duration) -> Self {
        self.settings.push((HEARTBEAT_MS, format!("{},{}", every.as_millis(), silence.as_millis())));
        self
    }

    /// With a clock that is so many seconds ahead, or behind.
    #[must_use]
    pub fn skew(mut self, seconds: i64) -> Self {
        self.settings.push((SKEW_S, seconds.to_string()));
        self
    }

    /// The multiaddress of a node here.
    #[must_use]
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Starts a program here, once it is given its arguments.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = match &self.through[..] {
            [] => Command::new(program),
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
        };
        // As a program that counts its memory does: glibc keeps an arena for each thread otherwise.
        command.env("MALLOC_ARENA_MAX", "2");
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// In the node process: sets its clock wrong and gives its tuning, as its [`Host`] says.
#[must_use]
pub fn settle_in() -> Tuning {
    let said = |name| std::env::var(name).unwrap_or_default();
    if let Ok(seconds) = said(SKEW_S).parse() {
        netabase::testing::skew_clock(seconds);
    }
    let beat = said(HEARTBEAT_MS);
    let milliseconds = |text: &str| text.parse().ok().map(Duration::from_millis);
    match beat.split_once(',').and_then(|(every, silence)| Some((milliseconds(every)?, milliseconds(silence)?))) {
        Some((every, silence)) => Tuning::default().heartbeat(every, silence),
        None => Tuning::default(),
    }
}
