//! A backup: the state of this node in one file, made while it runs. The form is that of snapshots (`storage::archive`).
//!
//! Must hold: a file under the name that was asked for is whole, and is on the disk with its name; a file that was there is
//! never touched; nothing is left behind under another name.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::consensus::ClusterId;
use crate::error::{Error, Result};
use crate::machine::DurableState;
use crate::storage::archive::{ArchiveError, Packed};
use crate::storage::{StoreError, file_backend};

/// Writes a backup to a file that must not be there yet. Asks now and then whether to go on.
pub(crate) fn write(
    state: &DurableState,
    cluster: ClusterId,
    path: &Path,
    goes_on: &dyn Fn() -> bool,
) -> Result<Packed> {
    check_free(path)?;
    let unfinished = Unfinished::beside(path)?;
    let file =
        file_backend(unfinished.file.try_clone().map_err(|error| failed(path, error))?).map_err(
            |error| match error {
                StoreError::Locked => refused(path, "another backup is being written there"),
                other => other.into(),
            },
        )?;
    redb::StorageBackend::set_len(&file, 0).map_err(|error| failed(path, error))?;
    let packed = state.pack(cluster.0, &file, goes_on).map_err(|error| match error {
        ArchiveError::Stopped => Error::ShutDown,
        ArchiveError::Disk(error) => failed(path, error),
        ArchiveError::Store(error) => error.into(),
        error => Error::Storage { reason: format!("the backup cannot be written: {error}"), source: None },
    })?;
    unfinished.file.sync_all().map_err(|error| failed(path, error))?;
    unfinished.finish(path)?;
    Ok(packed)
}

/// The file under the name that it has until it is whole; removed if that does not come to be.
struct Unfinished {
    file: File,
    path: PathBuf,
}

impl Unfinished {
    fn beside(path: &Path) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".unfinished");
        let unfinished = PathBuf::from(name);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&unfinished);
        let file = open.map_err(|error| failed(path, error))?;
        Ok(Unfinished { file, path: unfinished })
    }

    /// Gives it its name, unless somebody else has taken that meanwhile.
    fn finish(self, path: &Path) -> Result<()> {
        check_free(path)?;
        fs::rename(&self.path, path).map_err(|error| failed(path, error))?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| failed(path, error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has another name by now if all went well; if not, it is what an error left.
        let _ = fs::remove_file(&self.path);
    }
}

fn check_free(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(refused(path, "there is something already, and a backup overwrites nothing: name another file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(path, error)),
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::Configuration { option: "backup", reason: format!("`{}`: {why}", path.display()) }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::storage(
        format!("the backup `{}` cannot be written: check that disk, its room and its rights", path.display()),
        error,
    )
}
