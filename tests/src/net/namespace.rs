//! A network namespace, made by `ip netns` and removed on drop. Its name tells whose it is, so that runs in parallel do
//! not collide, and the ones that a killed run left behind can be told.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Failed;

const PREFIX: &str = "netabase-test";
/// Where `ip netns` keeps them.
const FOLDER: &str = "/var/run/netns";

static MADE: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, for the host of this number.
    pub(super) fn new(host: usize) -> Result<Self, Failed> {
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{made}-{host}", std::process::id());
        ip(&["netns", "add", &name])?;
        let space = Namespace { name };
        ip(&["-n", &space.name, "link", "set", "lo", "up"])?;
        Ok(space)
    }

    /// The command that starts in here what follows it, as a process of the same id.
    pub(super) fn through(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Does this in here: sockets and devices that it opens stay here.
    pub(super) fn inside<T: Send>(&self, what: impl FnOnce() -> io::Result<T> + Send) -> Result<T, Failed> {
        let enter = || {
            let here = File::open(Path::new(FOLDER).join(&self.name))?;
            move_into_link_name_space(here.as_fd(), Some(LinkNameSpaceType::Network))?;
            what()
        };
        // Only the thread moves, and it ends.
        let done = std::thread::scope(|scope| scope.spawn(enter).join());
        done.map_err(|_| Failed("a thread in a namespace panicked".into()))?
            .map_err(|error| Failed(format!("in the namespace {}: {error}", self.name)))
    }

    /// Removes those of processes that are gone.
    pub(super) fn remove_stale() {
        let Ok(entries) = std::fs::read_dir(FOLDER) else { return };
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let Some(pid) = owner(&name) else { continue };
            if !Path::new(&format!("/proc/{pid}")).exists() {
                // Another run may have done so meanwhile.
                let _ = ip(&["netns", "del", &name]);
            }
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("{error}");
        }
    }
}

/// The process that made the namespace of this name, if it is one of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-').next()?.parse().ok()
}

fn ip(arguments: &[&str]) -> Result<(), Failed> {
    let failed = |why: &str| Failed(format!("`ip {}`: {why}", arguments.join(" ")));
    match Command::new("ip").args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(failed(&format!("{error}; it is in the package iproute2"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is() {
        assert_eq!(owner("netabase-test-123-0-2"), Some(123));
        for other in ["netabase-test", "netabase-testing-1", "netabase-test-x-0-2", "vpn"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn those_of_processes_that_are_gone_are_removed_and_others_stay() -> Result<(), Failed> {
        if !crate::net::Net::may_be_made() {
            return Ok(());
        }
        // No process has this id: it is above what Linux gives.
        let stale = format!("{PREFIX}-{}-0-0", 1 << 23);
        ip(&["netns", "add", &stale])?;
        let ours = Namespace::new(0)?;
        Namespace::remove_stale();
        assert!(!Path::new(FOLDER).join(&stale).exists());
        let path = Path::new(FOLDER).join(&ours.name);
        assert!(path.exists());
        drop(ours);
        assert!(!path.exists());
        Ok(())
    }
}
