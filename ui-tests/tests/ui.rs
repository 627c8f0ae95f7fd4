//! Every file of `pass/` compiles and runs; every file of `fail/` has one mistake and gives one message.
//!
//! A message is kept only after a person has read it (`TRYBUILD=overwrite cargo test -p netabase-ui-tests` writes them
//! anew). The compiler's own words in them are those of one toolchain, `TOOLCHAIN`; with another one they are not compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many mistakes and accepted forms there must be at least, so that a lost folder does not go unnoticed.
const MISTAKES_MIN: usize = 160;
const FORMS_MIN: usize = 35;

/// The compiler whose messages are in `fail/`. With a newer one: change this, write them anew, and read what changed.
const TOOLCHAIN: &str = "1.95.0";

#[test]
fn accepted_forms_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("pass/*.rs");
    cases.pass("pass/*/*.rs");
}

#[test]
fn mistakes_give_their_message() {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output().expect("there is a compiler").stdout;
    let version = String::from_utf8_lossy(&version);
    assert!(
        version.split(' ').nth(1) == Some(TOOLCHAIN),
        "the messages in `fail/` are those of rustc {TOOLCHAIN}, and this is {}: run `cargo +{TOOLCHAIN} test -p \
         netabase-ui-tests`, or change `TOOLCHAIN` in {}, write them anew (`TRYBUILD=overwrite`) and read them",
        version.trim(),
        file!(),
    );
    trybuild::TestCases::new().compile_fail("fail/*/*.rs");
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is part of the crate") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn in_folder(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), extension, &mut found);
    found.sort();
    found
}

#[test]
fn there_are_enough_of_both() {
    assert!(in_folder("pass", "rs").len() >= FORMS_MIN);
    assert!(in_folder("fail", "rs").len() >= MISTAKES_MIN);
}

/// `fail/all_at_once` shows that several mistakes come in one compile; all others have one mistake each.
#[test]
fn one_mistake_is_one_error() {
    for path in in_folder("fail", "stderr") {
        let text = fs::read_to_string(&path).expect("it can be read");
        let errors = text.lines().filter(|line| line.starts_with("error")).count();
        let source = fs::read_to_string(path.with_extension("rs")).expect("every message has its source");
        let expected = source.lines().filter(|line| line.contains("// mistake")).count();
        assert!(expected > 0, "{}: no line is marked with `// mistake`", path.display());
        assert_eq!(errors, expected, "{}:\n{text}", path.display());
        assert!(!text.lines().any(|line| line.starts_with("warning")), "{}:\n{text}", path.display());
        let alone = !path.components().any(|part| part.as_os_str() == "all_at_once");
        assert!(!alone || expected == 1, "{}: one mistake a file", path.display());
    }
}

/// What the derive generates is not what the user wrote, so a message about it says nothing to them.
#[test]
fn no_message_shows_the_inside() {
    for path in in_folder("fail", "stderr") {
        let text = fs::read_to_string(&path).expect("it can be read");
        for inside in [
            "__private",
            "__K",
            "__T",
            "__GLUE",
            "FirstFields",
            "IntoPart",
            "KeyParts",
            "KeyVariants",
            "RecordFor",
            "TextFor",
            "proc-macro derive panicked",
        ] {
            assert!(!text.contains(inside), "{} shows `{inside}`:\n{text}", path.display());
        }
    }
}
