//! What the log's file takes, against the bound of what is kept in it.

use std::os::unix::fs::MetadataExt;

use tempfile::TempDir;

use super::*;
use crate::consensus::fixture::{OWNER, entry_of};
use crate::storage::{file_backend, open_database};

const BOUND: u64 = 4 << 20;

/// Rounds come in order and go in order: pages are full, and whole ones become free. What is longer than a page takes as many
/// as are a power of two, so twice its length at most.
#[tokio::test]
async fn the_file_of_a_bounded_log_is_bounded() {
    for entry_bytes in [200, 20_000] {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("log.redb");
        let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("a new file");
        let log = Log::open(open_database(file_backend(file).unwrap()).unwrap(), OWNER).unwrap();
        let rounds = 3 * BOUND / entry_bytes;
        let (mut pruned, mut most) = (0, 0);
        for round in 1..=rounds {
            let entry = entry_of(round, vec![0; usize::try_from(entry_bytes).unwrap()].into());
            let accepted = log.accept(round, 1, entry.clone());
            log.chosen(round, entry).unwrap();
            if round % 64 == 0 {
                accepted.await.unwrap();
                let through = log.prune_step(log.excess(BOUND));
                if through > pruned {
                    log.prune(through).unwrap();
                    pruned = through;
                }
                most = most.max(std::fs::metadata(&path).unwrap().blocks() * 512);
            }
        }
        println!("entries of {entry_bytes} bytes: {}% of the bound at most", most * 100 / BOUND);
        assert!(most < 3 * BOUND, "{most} of {BOUND}");
    }
}
