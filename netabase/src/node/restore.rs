//! A new cluster of one from a backup: another identity, another cluster id, the same records.
//!
//! Must hold: the card is written last, so that what a crash left of it is no node's directory; nothing that is there
//! already is touched.

use std::path::Path;
use std::sync::Arc;

use super::card::Card;
use super::volume::{Directory, Volume};
use crate::consensus::{Charter, Epoch, Log, Owner, Voters};
use crate::entropy;
use crate::error::{Error, Result};
use crate::machine::{Keeper, Machine, Roster};
use crate::network::Identity;
use crate::schema::{Catalog, Descriptor, codec};
use crate::storage::archive::{ArchiveError, Unpacking};
use crate::storage::{CACHE_BYTES, Store, StoreError, StoreKind, file_backend, layout};

/// How the records of a restored directory are stored.
const KIND: StoreKind = StoreKind::Redb;

/// What a new cluster does not take over: sessions, since nobody can go on with one, and who took part.
const LEFT_OUT: &[u8] = &[layout::SPACE_SESSION, layout::SPACE_ROSTER];

/// Makes a directory of a cluster of one that holds what the backup does.
pub(crate) async fn restore(backup: &Path, directory: &Path, catalog: Catalog) -> Result<()> {
    check_new(directory)?;
    let made = make(backup, directory, catalog).await;
    if made.is_err() {
        // There was nothing in it, and half of it would be taken for a new directory.
        let _ = std::fs::remove_dir_all(directory);
    }
    made
}

async fn make(backup: &Path, directory: &Path, catalog: Catalog) -> Result<()> {
    let volume: Arc<dyn Volume> = Arc::new(Directory::open(directory, CACHE_BYTES)?);
    let me = Identity::load_or_create(directory)?.peer_id();
    let mut charter = Charter::founded(&Voters::new(vec![me]), &catalog);
    charter.salt = entropy::bytes();
    let cluster = charter.cluster().ok_or(Error::ShutDown)?;
    let card = Card::new(charter, cluster, me.to_string(), Vec::new());
    let owner = Owner { cluster, incarnation: card.incarnation };
    let (source, files) = (backup.to_owned(), Arc::clone(&volume));
    let filled = tokio::task::spawn_blocking(move || fill(&source, &*files, catalog));
    let round = filled.await.map_err(|_| Error::ShutDown)??;
    let log = Log::open(volume.open_log()?, owner)?;
    let followed = log.install(Epoch(0), round).await;
    let closed = log.closed();
    drop(log);
    closed.await;
    if followed.is_err() {
        return Err(Error::Storage {
            reason: "the consensus log of the new directory cannot be written".into(),
            source: None,
        });
    }
    volume.write_card(&card.encode()?)
}

/// Makes the store, and gives its round.
fn fill(backup: &Path, volume: &dyn Volume, catalog: Catalog) -> Result<u64> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(backup)
        .map_err(|error| Error::storage(format!("the backup `{}` cannot be opened", backup.display()), error))?;
    let file = file_backend(file)?;
    let unusable = |error: ArchiveError| unusable(backup, error);
    let rows = Unpacking::begin(&file).map_err(unusable)?;
    let theirs: Descriptor = codec::decode(&rows.header().descriptor)
        .map_err(|_| unusable(ArchiveError::Damaged("its schema does not decode")))?;
    catalog.descriptor().check(&theirs)?;
    let Some(engine) = volume.make_store(KIND)? else { return Err(Error::ShutDown) };
    let keeper = Keeper::Node.name().as_bytes();
    let header = rows.leaving_out(LEFT_OUT).into_engine(&*engine, keeper, &|| true).map_err(unusable)?;
    drop(engine);
    volume.swap_store(KIND, header.round)?;
    // That it opens is better known now than at the first start.
    let machine = Machine::open(Store::open(volume.open_store(KIND)?)?, catalog, Roster::default())?;
    Ok(machine.applied())
}

fn check_new(directory: &Path) -> Result<()> {
    let taken = match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if !taken {
        return Ok(());
    }
    Err(Error::Configuration {
        option: "data_dir",
        reason: format!(
            "`{}` is there and not empty: a backup is restored to a new directory, which is made for it; remove what an \
             interrupted restore left",
            directory.display()
        ),
    })
}

fn unusable(backup: &Path, error: ArchiveError) -> Error {
    match error {
        ArchiveError::Damaged(what) => Error::Storage {
            reason: format!("the backup `{}` is damaged ({what}): take another copy of it", backup.display()),
            source: None,
        },
        ArchiveError::Foreign(what) => {
            Error::Configuration { option: "backup", reason: format!("`{}`: {what}", backup.display()) }
        }
        ArchiveError::Stopped => Error::ShutDown,
        ArchiveError::Disk(error) => StoreError::Io(error).into(),
        ArchiveError::Store(error) => error.into(),
    }
}
