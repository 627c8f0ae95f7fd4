//! Who a node is: its ed25519 key, and the file that keeps it.
//!
//! What must hold: the file appears whole or not at all, survives a power cut once `load_or_create` has
//! returned, and nobody but its owner can read it; the secret never shows in `Debug`.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use libp2p::{
    PeerId,
    identity::{KeyType, Keypair},
};

use crate::Error;

const FILE: &str = "identity.key";
const TEMPORARY_SUFFIX: &str = ".new";
/// Much more than a key takes: a larger file is not one.
const FILE_BYTES_MAX: u64 = 1024;

/// The key pair that makes a node what it is to others; its public half is the peer id.
///
/// A member of a cluster that loses it, or shares it with another node, is a different member, or none:
/// keep it with the data, and never copy it to a second running node.
///
/// ```
/// use netabase::Identity;
/// let directory = std::env::temp_dir().join(format!("netabase-identity-{}", std::process::id()));
/// let first = Identity::load_or_create(&directory)?;
/// assert_eq!(first.peer_id(), Identity::load_or_create(&directory)?.peer_id());
/// assert_ne!(first.peer_id(), Identity::generate().peer_id());
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok::<(), netabase::Error>(())
/// ```
#[derive(Clone)]
pub struct Identity {
    keypair: Keypair,
}

impl Identity {
    /// A new identity, kept nowhere.
    #[must_use]
    pub fn generate() -> Self {
        Identity { keypair: Keypair::generate_ed25519() }
    }

    /// The identity kept in `directory`, in the file `identity.key`; creates both if need be.
    ///
    /// # Errors
    /// [`Error::DataDirectory`] if the file is damaged, can be read by others, or cannot be written.
    pub fn load_or_create(directory: impl AsRef<Path>) -> Result<Self, Error> {
        Identity::load_or_create_file(&directory.as_ref().join(FILE))
    }

    /// The identity kept in a file of this name; creates it, with its directory, if need be.
    pub(crate) fn load_or_create_file(path: &Path) -> Result<Self, Error> {
        match File::open(path) {
            Ok(file) => load(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Identity::generate();
                identity.create(path).map_err(|error| {
                    unusable(path, format!("cannot be created ({error}): check the directory's permissions and space"))
                })?;
                Ok(identity)
            }
            Err(error) => Err(unusable(path, format!("cannot be opened ({error}): check its permissions"))),
        }
    }

    /// The id under which peers know this identity.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.keypair.public().to_peer_id()
    }

    /// The key pair, secret half included.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        let encoded = self.keypair.to_protobuf_encoding().map_err(io::Error::other)?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(directory)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(TEMPORARY_SUFFIX);
        // Left by a crash before the rename: nobody knows that key yet.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(&encoded)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_directory(directory)
    }
}

impl From<Keypair> for Identity {
    fn from(keypair: Keypair) -> Self {
        Identity { keypair }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

fn load(path: &Path, file: File) -> Result<Identity, Error> {
    let metadata =
        file.metadata().map_err(|error| unusable(path, format!("cannot be read ({error}): check the disk")))?;
    if !metadata.is_file() {
        return Err(unusable(path, "is not a file: move it away".into()));
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            return Err(unusable(
                path,
                format!("can be read or written by others (mode {mode:03o}): if it was not copied, `chmod 600` it"),
            ));
        }
    }
    let mut encoded = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut encoded)
        .map_err(|error| unusable(path, format!("cannot be read ({error}): check the disk")))?;
    match Keypair::from_protobuf_encoding(&encoded) {
        Ok(keypair) if keypair.key_type() == KeyType::Ed25519 => Ok(Identity { keypair }),
        _ => Err(unusable(
            path,
            format!(
                "is damaged, its {} bytes are no ed25519 key: restore it from a copy; without it this node must \
                 join as a new one, with an empty directory",
                encoded.len()
            ),
        )),
    }
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    // The directory itself may be new, too.
    match directory.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn unusable(path: &Path, what: String) -> Error {
    Error::DataDirectory { reason: format!("the identity file {} {what}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(result: Result<Identity, Error>) -> String {
        match result {
            Err(Error::DataDirectory { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    const TEMPORARY_FILE: &str = "identity.key.new";

    #[test]
    fn it_is_kept_and_a_crash_before_the_rename_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("new");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join(TEMPORARY_FILE), b"half a ke").unwrap();
        let first = Identity::load_or_create(&inner).unwrap();
        assert_eq!(Identity::load_or_create(&inner).unwrap().peer_id(), first.peer_id());
        assert!(!inner.join(TEMPORARY_FILE).exists());
        let named = inner.join("below/client.key");
        let client = Identity::load_or_create_file(&named).unwrap();
        assert_eq!(Identity::load_or_create_file(&named).unwrap().peer_id(), client.peer_id());
        assert_ne!(client.peer_id(), first.peer_id());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        Identity::load_or_create(directory.path()).unwrap();
        let path = directory.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(reason(Identity::load_or_create(directory.path())).contains("chmod 600"));
    }

    #[test]
    fn damage_is_an_error_and_the_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let whole = {
            Identity::load_or_create(directory.path()).unwrap();
            fs::read(directory.path().join(FILE)).unwrap()
        };
        let mut flipped = whole.clone();
        flipped[40] ^= 1;
        for damaged in [Vec::new(), whole[..whole.len() - 1].to_vec(), flipped, vec![7; 4096]] {
            fs::write(directory.path().join(FILE), &damaged).unwrap();
            assert!(reason(Identity::load_or_create(directory.path())).contains("damaged"));
            assert_eq!(fs::read(directory.path().join(FILE)).unwrap(), damaged);
        }
        fs::remove_file(directory.path().join(FILE)).unwrap();
        fs::create_dir(directory.path().join(FILE)).unwrap();
        reason(Identity::load_or_create(directory.path()));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let identity = Identity::generate();
        let secret = identity.keypair().clone().try_into_ed25519().unwrap().secret();
        let shown = format!("{identity:?}");
        assert!(shown.contains(&identity.peer_id().to_string()));
        let bytes = format!("{:?}", secret.as_ref());
        assert!(!shown.contains(&bytes[1..bytes.len() - 1]));
        assert_eq!(shown, format!("Identity {{ peer_id: PeerId(\"{}\"), .. }}", identity.peer_id()));
    }
}
