//! A process for each test: its memory and its panics are its own.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

const MARK: &str = "NETABASE_HOSTILE_TEST";
/// One at a time: heartbeats of nodes that starve each other are no test of hostility.
static TURN: Mutex<()> = Mutex::new(());
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Runs the test of this name below `hostile` alone in a process.
pub(super) fn isolated<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F) {
    if std::env::var_os(MARK).is_some() {
        return run(test());
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let path = format!("consensus::tests::hostile::{name}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &path, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success() && told.contains("1 passed"), "{path} failed, see above");
}

fn run(test: impl Future<Output = ()>) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // The threads of the nodes; those of the test fail by themselves.
        if std::thread::current().name().is_some_and(|name| name.starts_with("netabase-")) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).try_init();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// How often a thread of a node panicked.
pub(super) fn panics() -> usize {
    PANICS.load(Ordering::Relaxed)
}

/// Resident memory of this process in bytes; 0 where the system does not tell.
pub(super) fn resident_bytes() -> usize {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.map_or(0, |kib: usize| kib << 10)
}
