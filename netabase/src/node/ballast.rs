//! The ballast: a file that takes room on the disk so that there is some to let go of when it fills up (D13).
//!
//! Must hold: it takes its room when it is made, not when that room is needed; it is never in the way of a write that the
//! disk would otherwise have had room for. Made and let go of by the watch over the free space, and before a start.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

/// What the ballast takes: enough to prune the log, and to vote until somebody has made room.
pub(super) const BALLAST_BYTES: u64 = 32 << 20;

/// Makes the ballast, unless it is there. `false` where the file system does not reserve room.
pub(super) fn hold(path: &Path) -> io::Result<bool> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() == BALLAST_BYTES) {
        return Ok(true);
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let reserved = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST_BYTES);
    if let Err(error) = reserved {
        // Half a ballast would be taken for a whole one.
        fs::remove_file(path)?;
        return if error == rustix::io::Errno::OPNOTSUPP { Ok(false) } else { Err(error.into()) };
    }
    Ok(true)
}

/// Lets go of it; `true` when it was there.
pub(super) fn release(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_takes_its_room_at_once_and_gives_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ballast");
        assert!(!release(&path).unwrap());
        fs::write(&path, b"half of one").unwrap();
        if hold(&path).unwrap() {
            let taken = fs::metadata(&path).unwrap();
            assert!(taken.len() == BALLAST_BYTES && taken.blocks() * 512 >= BALLAST_BYTES);
            assert!(hold(&path).unwrap(), "it is there");
            assert!(release(&path).unwrap());
        }
        assert!(!path.exists());
    }
}
