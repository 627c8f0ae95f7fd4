//! Directories as this and earlier releases left them: what was written once is read for ever.
//!
//! `fixtures/directory-5` is of a node with card format 5, which wrote notes 1 and 2, was stopped, wrote note 41 and was
//! killed: what the last one takes is in its log only. It was made with `netabase-test-node` and a pipe to its input, and
//! is never made anew: a release that changes a format adds a directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use netabase::{Netabase, Record, StoreKind};
use netabase_tests::{LaterNote, Note};

const WRITTEN: [u64; 3] = [1, 2, 41];

/// A copy of a directory to open: what is kept stays as it is.
fn copy_of(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    for file in fs::read_dir(kept).expect("the directory is part of the crate") {
        let file = file.expect("it can be read");
        let place = copy.path().join(file.file_name());
        fs::copy(file.path(), &place).expect("it can be copied");
        // What keeps the sources does not keep who may read a key.
        fs::set_permissions(place, fs::Permissions::from_mode(0o600)).expect("it is this user's");
    }
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_before_is_read_by_the_program_that_wrote_it_and_by_its_successor() -> netabase::Result<()> {
    let dir = copy_of("directory-5");
    let db = Netabase::<Note>::start().data_dir(dir.path()).store(StoreKind::Redb).await?;
    for id in WRITTEN {
        assert_eq!(db.get_record::<Note>(id).await?, Some(Note::of(id)), "note {id}");
    }
    assert_eq!(db.count(Note::all()).await?, 3);
    assert_eq!(db.query(Note::by_writer("writer 9")).await?, [Note::of(41)]);
    db.put_record(Note::of(5)).await?;
    db.shutdown().await?;

    let later = Netabase::<LaterNote>::start().data_dir(dir.path()).await?;
    for id in WRITTEN {
        assert_eq!(later.get_record::<LaterNote>(id).await?, Some(LaterNote::from(Note::of(id))), "note {id}");
    }
    later.put_record(LaterNote::from(Note::of(80))).await?;
    let status = later.status().await?;
    assert_eq!((status.records[0].newest, status.records[0].active), (2, Some(2)), "{:?}", status.records);
    later.shutdown().await
}
