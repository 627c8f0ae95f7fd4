//! A disk in memory that forgets what was not synced, for redb.
//!
//! ```text
//! redb ── write, set_len ──> pending ── sync ──> platter        power_cut: platter (+ some of pending)
//! ```
//! What must hold: a write is on the platter only after a sync that answered `Ok` (unless the disk was
//! told to lie); until then a power cut may keep any of the versions that a sector went through, each
//! sector on its own, which is what real disks promise and no more. Nothing here depends on anything
//! but the calls and the seeds. Tests of the store, of the acceptor log and `Cluster::crash` use it.

mod image;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use image::Image;

/// What a power cut does to writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// They are gone: the disk holds exactly what was synced.
    Lost,
    /// Each sector of 512 bytes, and the length, keeps one of the versions it had since the last sync:
    /// writes are lost, reordered and torn as this seed says.
    Torn {
        /// The same seed after the same calls leaves the same bytes.
        seed: u64,
    },
    /// They all survive, as when only the process is killed and the system writes its cache back.
    Kept,
}

/// A disk for one redb database, which forgets what was not synced when its power is cut.
///
/// Clones are handles to the same disk. A power cut ends every handle there is: their operations fail
/// from then on, and the handle that [`power_cut`](ForgetfulDisk::power_cut) returns is the way in.
///
/// ```
/// use netabase::testing::{ForgetfulDisk, Unsynced};
///
/// let disk = ForgetfulDisk::new();
/// let database = redb::Builder::new().create_with_backend(disk.clone())?;
/// let disk = disk.power_cut(Unsynced::Torn { seed: 7 });
/// drop(database); // as if its process had gone with the power
/// let database = redb::Builder::new().create_with_backend(disk)?;
/// # drop(database);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ForgetfulDisk {
    shared: Arc<Shared>,
    /// The power period in which this handle was handed out.
    period: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when held syncs may go on, and at a power cut.
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    image: Image,
    period: u64,
    faults: Faults,
    syncs: u64,
    /// How many gave an error since the power was cut last.
    syncs_failed: u64,
    /// How many syncs wait because they are held.
    held: u64,
}

/// The switches, all off to begin with. They outlive a power cut: a bad disk stays bad.
#[derive(Debug, Default)]
struct Faults {
    fail_writes: bool,
    fail_syncs: bool,
    hold_syncs: bool,
    ignore_syncs: bool,
    bytes_max: Option<u64>,
    fuse: Option<Fuse>,
}

/// Lets so many changes of the disks that share it happen, and none after them: as a power cut at that very moment.
#[derive(Clone, Debug)]
pub(crate) struct Fuse(Arc<AtomicU64>);

impl Fuse {
    /// One that holds for so many changes.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests of this crate use it"))]
    pub(crate) fn of(changes: u64) -> Self {
        Fuse(Arc::new(AtomicU64::new(changes)))
    }

    /// How many more it holds for.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests of this crate use it"))]
    pub(crate) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn burn(&self) -> io::Result<()> {
        let burnt = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        burnt.map(drop).map_err(|_| io::Error::other("the power of this disk is gone"))
    }
}

impl State {
    fn burn(&self) -> io::Result<()> {
        self.faults.fuse.as_ref().map_or(Ok(()), Fuse::burn)
    }
}

impl ForgetfulDisk {
    /// An empty disk that works until told otherwise.
    #[must_use]
    pub fn new() -> Self {
        ForgetfulDisk::default()
    }

    /// Cuts the power and restores it: every handle so far fails from now on, also in calls that wait,
    /// and the returned one sees what survived.
    ///
    /// Asked of a handle from before an earlier cut, it cuts the power of the same disk once more.
    #[must_use = "the handles from before the cut no longer work"]
    pub fn power_cut(&self, unsynced: Unsynced) -> ForgetfulDisk {
        let mut state = self.lock();
        state.image.lose_power(unsynced);
        state.period += 1;
        state.syncs_failed = 0;
        self.shared.released.notify_all();
        ForgetfulDisk { shared: Arc::clone(&self.shared), period: state.period }
    }

    /// From now on every write fails with an I/O error and changes nothing; `false` ends it.
    pub fn fail_writes(&self, fail: bool) {
        self.lock().faults.fail_writes = fail;
    }

    /// From now on every sync fails with an I/O error; `false` ends it.
    ///
    /// As on Linux, what a failed sync was to make durable is not tried again by a later one: it can
    /// still be read, and is lost with the power unless it is written anew.
    pub fn fail_syncs(&self, fail: bool) {
        self.lock().faults.fail_syncs = fail;
    }

    /// From now on every sync waits and does nothing yet; `false` lets all of them go on.
    ///
    /// With it a test can look at what leaves a node before its disk has answered.
    pub fn hold_syncs(&self, hold: bool) {
        self.lock().faults.hold_syncs = hold;
        self.shared.released.notify_all();
    }

    /// Makes the disk a liar: a sync answers `Ok` and does nothing. For tests that must see a loss,
    /// to show that they would.
    pub fn ignore_syncs(&self, ignore: bool) {
        self.lock().faults.ignore_syncs = ignore;
    }

    /// The disk is full once this many bytes have been written to distinct places; `None`: never.
    ///
    /// Making a file longer takes no space, writing to it does, as in a sparse file.
    pub fn limit_bytes(&self, bytes_max: Option<u64>) {
        self.lock().faults.bytes_max = bytes_max;
    }

    /// Shares this fuse from now on; `None`: none.
    pub(crate) fn set_fuse(&self, fuse: Option<Fuse>) {
        self.lock().faults.fuse = fuse;
    }

    /// How many syncs this disk has been asked for and has answered with `Ok`, the ignored ones too.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// How many syncs this disk has answered with an error since its power was cut last: a node of which it is ends by itself,
    /// a moment later, whatever the disk does from then on.
    #[must_use]
    pub fn syncs_failed(&self) -> u64 {
        self.lock().syncs_failed
    }

    /// How many syncs wait now because of [`hold_syncs`](ForgetfulDisk::hold_syncs): a test waits for one to know that
    /// what it looks for can only be behind it.
    #[must_use]
    pub fn syncs_held(&self) -> u64 {
        self.lock().held
    }

    /// How many bytes the written sectors take.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.lock().image.bytes_used()
    }

    /// No operation leaves the state half changed, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn powered(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        self.check_power(&state)?;
        Ok(state)
    }

    fn check_power(&self, state: &State) -> io::Result<()> {
        if state.period == self.period {
            Ok(())
        } else {
            Err(io::Error::other("the power of this disk was cut after it was opened"))
        }
    }
}

impl redb::StorageBackend for ForgetfulDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.powered()?.image.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.powered()?.image.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.powered()?;
        state.burn()?;
        if state.faults.fail_writes {
            return Err(io::Error::other("this disk was told to fail writes"));
        }
        state.image.set_len(len);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.powered()?;
        state.burn()?;
        if state.faults.fail_writes {
            return Err(io::Error::other("this disk was told to fail writes"));
        }
        if let Some(bytes_max) = state.faults.bytes_max
            && state.image.bytes_used_after(offset, data.len()) > bytes_max
        {
            return Err(io::Error::new(io::ErrorKind::StorageFull, format!("this disk is full at {bytes_max} bytes")));
        }
        state.image.write(offset, data);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.powered()?;
        state.burn()?;
        if state.faults.hold_syncs {
            state.held += 1;
            while state.faults.hold_syncs && state.period == self.period {
                state = self.shared.released.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.held -= 1;
            self.check_power(&state)?;
        }
        if state.faults.fail_syncs {
            state.image.abandon();
            state.syncs_failed += 1;
            return Err(io::Error::other("this disk was told to fail syncs"));
        }
        if !state.faults.ignore_syncs {
            state.image.sync();
        }
        state.syncs += 1;
        Ok(())
    }
}
