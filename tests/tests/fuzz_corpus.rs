//! Every fuzz target over its corpus, with a stable compiler: what a fuzzer once found stays found.
//!
//! `NETABASE_WRITE_SEEDS=1` writes the seeds anew, as they are after a change of a format: see `fuzz/README.md`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use netabase::fuzzing::{Seed, TARGETS, seeds};

/// What all of it may take in the repository.
const CORPUS_BYTES_MAX: u64 = 300 << 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace").join("fuzz")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("the folder stays").file_name().to_string_lossy().into_owned()).collect()
}

fn files_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = names_in(folder).into_iter().map(|name| folder.join(name));
    paths.map(|path| (path.clone(), fs::read(path).expect("it was listed"))).collect()
}

fn run(name: &str) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("it is in the list");
    let files = files_in(&folder().join("corpus").join(name));
    assert!(files.len() > 3, "{name} has no corpus");
    for (path, bytes) in files {
        // The last one shown is the one that failed.
        println!("{}", path.display());
        target(&bytes);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_target_has_a_test_a_program_and_a_corpus() {
            let tests = BTreeSet::from([$(stringify!($name).to_owned()),*]);
            let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(tests, targets, "the tests here, and `TARGETS`");
            assert_eq!(names_in(&folder().join("corpus")), targets, "`fuzz/corpus`, and `TARGETS`");
            let programs = targets.iter().map(|name| format!("{name}.rs")).collect();
            assert_eq!(names_in(&folder().join("fuzz_targets")), programs, "`fuzz/fuzz_targets`, and `TARGETS`");
            let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("there is a manifest");
            for name in targets {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "`{name}` is not built");
            }
        }
    };
}

targets! { archive chunks disk_bytes invite keys operations peer_bytes }

#[test]
fn the_seeds_are_those_of_this_version() {
    let writes = std::env::var_os("NETABASE_WRITE_SEEDS").is_some();
    for Seed { target, name, bytes } in seeds() {
        let path = folder().join("corpus").join(target).join(name);
        if writes {
            fs::create_dir_all(path.parent().expect("a folder")).expect("the disk takes it");
            fs::write(&path, &bytes).expect("the disk takes it");
        }
        let found = fs::read(&path).ok();
        assert!(found == Some(bytes), "{}: a format has changed: write the seeds anew", path.display());
    }
}

#[test]
fn the_corpus_is_small() {
    let files = TARGETS.iter().flat_map(|(name, _)| files_in(&folder().join("corpus").join(name)));
    let bytes: u64 = files.map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes: keep what finds something, minimised");
}
