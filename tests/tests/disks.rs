//! What is wrong with a disk is said, does no damage, and is over once the cause is gone.
//!
//! Real file systems: where the test may not mount one, it says so and looks at nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use netabase::{Error, Event, Events, Netabase};
use netabase_tests::{Failed, Note, Processes};

const DEADLINE: Duration = Duration::from_secs(30);

/// A file system in memory, of its own size.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn of(mebibytes: u64) -> Option<Mounted> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let size = format!("size={mebibytes}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Mounted(dir));
        }
        println!("not run: this user may not mount a file system");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        let output = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.path()).output();
        assert!(output.is_ok_and(|output| output.status.success()), "it can be remounted {how}");
    }

    /// Takes room until no more than so much is left.
    fn fill_up_to(&self, left: u64) {
        let free = || {
            let out = Command::new("df").args(["--output=avail", "-B1"]).arg(self.path()).output().expect("df runs");
            String::from_utf8_lossy(&out.stdout).lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or(0)
        };
        let surplus: u64 = u64::saturating_sub(free(), left);
        fs::write(self.path().join("filler"), vec![1; usize::try_from(surplus).expect("it fits")])
            .expect("there is room");
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("filler")).expect("it was filled");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn told(events: &mut Events, wanted: impl Fn(&Event) -> bool) {
    let telling = async { while !events.next().await.is_some_and(|event| wanted(&event)) {} };
    tokio::time::timeout(DEADLINE, telling).await.expect("it is told");
}

#[tokio::test]
async fn a_disk_that_fills_up_takes_no_new_writes_until_there_is_room() -> netabase::Result<()> {
    let Some(disk) = Mounted::of(256) else { return Ok(()) };
    let dir = disk.path().join("node");
    let db = Netabase::<Note>::start().data_dir(&dir).await?;
    let mut events = db.events();
    db.put_record(Note::of(1)).await?;
    until("the ballast is made", async || dir.join("ballast").exists()).await;

    disk.fill_up_to(60 << 20);
    until("writes are refused", async || db.put_record(Note::of(2)).await.is_err()).await;
    let refused = db.put_record(Note::of(2)).await;
    assert!(matches!(&refused, Err(Error::Storage { reason, .. }) if reason.contains("MiB left")), "{refused:?}");
    assert!(refused.is_err_and(|error| !error.may_have_happened()));
    assert_eq!(db.get_record::<Note>(1).await?, Some(Note::of(1)), "reads go on");
    assert!(dir.join("ballast").exists(), "it is not needed yet");
    told(&mut events, |event| matches!(event, Event::DiskNearlyFull { .. })).await;

    disk.empty();
    until("writes are taken", async || db.put_record(Note::of(3)).await.is_ok()).await;
    told(&mut events, |event| matches!(event, Event::DiskHasRoom { .. })).await;

    disk.fill_up_to(8 << 20);
    until("the ballast is let go of", async || !dir.join("ballast").exists()).await;
    disk.empty();
    until("writes are taken", async || db.put_record(Note::of(4)).await.is_ok()).await;
    until("the ballast is made again", async || dir.join("ballast").exists()).await;
    db.shutdown().await
}

#[tokio::test]
async fn a_node_starts_on_a_full_disk_by_letting_go_of_its_ballast() -> netabase::Result<()> {
    let Some(disk) = Mounted::of(256) else { return Ok(()) };
    let dir = disk.path().join("node");
    let db = Netabase::<Note>::start().data_dir(&dir).await?;
    db.put_record(Note::of(1)).await?;
    until("the ballast is made", async || dir.join("ballast").exists()).await;
    db.shutdown().await?;
    disk.fill_up_to(0);
    let db = Netabase::<Note>::start().data_dir(&dir).await?;
    assert_eq!(db.get_record::<Note>(1).await?, Some(Note::of(1)));
    until("writes are refused", async || db.put_record(Note::of(2)).await.is_err()).await;
    disk.empty();
    until("writes are taken", async || db.put_record(Note::of(2)).await.is_ok()).await;
    db.shutdown().await
}

#[tokio::test]
async fn a_read_only_directory_is_refused_and_left_as_it_is() -> netabase::Result<()> {
    let Some(disk) = Mounted::of(64) else { return Ok(()) };
    let (used, new) = (disk.path().join("used"), disk.path().join("new"));
    let db = Netabase::<Note>::start().data_dir(&used).await?;
    // It has no 64 MiB to begin with: only what is there before the first look is taken.
    let _ = db.put_record(Note::of(1)).await;
    let there = db.get_record::<Note>(1).await?;
    db.shutdown().await?;
    disk.remount("ro");
    for dir in [&used, &new] {
        match Netabase::<Note>::start().data_dir(dir).await {
            Err(error @ (Error::DataDirectory { .. } | Error::Storage { .. })) => {
                let message = format!("{error:?}");
                assert!(message.to_lowercase().contains("read-only"), "{message}");
            }
            other => panic!("expected an error about the directory, got {other:?}"),
        }
    }
    disk.remount("rw");
    let db = Netabase::<Note>::start().data_dir(&used).await?;
    assert_eq!(db.get_record::<Note>(1).await?, there);
    db.shutdown().await
}

#[test]
fn two_processes_on_one_directory_are_one_too_many() -> Result<(), Failed> {
    let dir = tempfile::tempdir().map_err(|error| Failed(error.to_string()))?;
    let binary = Path::new(env!("CARGO_BIN_EXE_netabase-test-node"));
    let mut node = Processes::start(binary, dir.path(), 1)?;
    assert_eq!(node.ask(0, "put 1")?, "ok");
    let second = || {
        let listen = "/ip4/127.0.0.1/tcp/0";
        let output = Command::new(binary).arg(node.dir(0)).arg(listen).args(node.told(0)).output();
        String::from_utf8_lossy(&output.expect("it runs").stdout).into_owned()
    };
    let said = second();
    assert!(said.contains("failed") && said.contains("another process"), "{said}");
    assert_eq!(node.ask(0, "put 2")?, "ok", "the first one is not disturbed");
    node.kill(0)?;
    node.restart(0)?;
    assert_eq!(node.ask(0, "put 3")?, "ok", "nor is what it left behind");
    Ok(())
}
