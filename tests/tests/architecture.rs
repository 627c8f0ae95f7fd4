//! The source tests itself: who may use whom, what is banned, no file too long, no file dead.
//!
//! The table below is the one of `netabase/docs/architecture.md`. A line here is a decision: change it
//! together with that page, or not at all.

#[path = "architecture/source.rs"]
mod source;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use source::{Source, modules_declared, test_modules_declared};

/// A module of `netabase/src`, and which others its code may name. Everyone may use `error`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("entropy", &[]),
    ("error", &[]),
    ("schema", &[]),
    ("command", &["clock", "schema"]),
    ("storage", &["clock", "schema"]),
    ("machine", &["schema", "command", "storage"]),
    ("network", &[]),
    (
        "consensus",
        &[
            "clock",
            "entropy",
            "schema::codec",
            "schema::Catalog",
            "schema::Fingerprint",
            "schema::RecordId",
            "schema::Summary",
            "command",
            "machine",
            "network",
        ],
    ),
    ("event", &["schema", "storage"]),
    ("desk", &["schema", "command", "storage", "machine", "network", "consensus", "event"]),
    ("node", &["clock", "entropy", "schema", "command", "storage", "machine", "network", "consensus", "event", "desk"]),
];

/// The outside: may use anything. `lib` and `private` only re-export.
const OUTSIDE: &[&str] =
    &["lib", "docs", "prelude", "private", "handle", "receipt", "store", "client", "testing", "fuzzing"];

/// What no source file may name, and why.
const BANNED: &[(&str, &str)] = &[
    ("unbounded", "every queue is bounded by a named constant"),
    ("unbounded_channel", "every queue is bounded by a named constant"),
    ("UnboundedSender", "every queue is bounded by a named constant"),
    ("UnboundedReceiver", "every queue is bounded by a named constant"),
    ("thread::sleep", "wait for what is to happen, not for time to pass"),
];

/// Files that may let a thread sleep, each with the reason.
const SLEEPERS: &[(&str, &str)] = &[
    ("tests/src/processes.rs", "looks again and again at what another process says, with a deadline"),
    ("tests/tests/crash.rs", "the random moment of a kill is what is tested"),
    ("tests/tests/fire.rs", "the random moment of whatever happens to a member is what is tested"),
    ("tests/tests/hosts.rs", "the random moment of whatever happens to a host is what is tested"),
    ("tests/tests/upgrading.rs", "looks again and again at what processes have done, with a deadline"),
    ("tests/tests/large.rs", "for how long writers are watched is what is measured; looks again with a deadline"),
];

/// Files that may ask what time it is, each with the reason. Clocks are set back: nothing may depend on their order.
const CLOCKS: &[(&str, &str)] = &[
    ("netabase/src/clock.rs", "asks the system for those below"),
    ("netabase/src/testing/mod.rs", "tests set it wrong"),
    ("netabase/src/command/entry.rs", "an id shows people when it was made; what makes it unique is random"),
    ("netabase/src/schema/expiry.rs", "the type of a user's field, of which the value is taken"),
    ("netabase/src/storage/view.rs", "readers are not shown what has expired; `apply` reads every row"),
    ("netabase/src/store/expire.rs", "a store alone has no other clock"),
    ("netabase/src/consensus/member/answer.rs", "voters say how late it is, for what expires"),
    (
        "netabase/src/consensus/member/expire.rs",
        "the leader asks the clocks of a majority; `apply` only what the log says",
    ),
    ("netabase/src/entropy.rs", "where the system has no randomness, the clock is better than nothing"),
    ("netabase/src/consensus/member/knock.rs", "the member that honours an invite says whether it has expired"),
    (
        "netabase/src/node/invite.rs",
        "an invite expires: looked at where it is presented and honoured, never in `apply`",
    ),
];

const LINES_MAX: usize = 500;

/// Files that may be longer, each with the reason.
const LONGER: &[(&str, &str)] = &[];

#[test]
fn modules_use_only_what_they_may() {
    let mut complaints = Vec::new();
    let sources = root().join("netabase/src");
    let tests = test_files(&rust_files(&sources));
    for path in rust_files(&sources).into_iter().filter(|path| !tests.contains(path)) {
        let source = read(&path);
        complaints.extend(forbidden_uses(&module_path(&sources, &path), &source, &shown(&path)));
    }
    none(complaints);
}

#[test]
fn nothing_banned_is_named() {
    let mut complaints = Vec::new();
    for path in workspace_files() {
        let shown = shown(&path);
        if !SLEEPERS.iter().any(|(file, _)| *file == shown) {
            complaints.extend(banned_names(&read(&path), &shown));
        }
    }
    none(complaints);
}

#[test]
fn no_clock_decides() {
    let mut complaints = Vec::new();
    let files = rust_files(&root().join("netabase/src"));
    let tests = test_files(&files);
    for path in files.into_iter().filter(|path| !is_test_file(path) && !tests.contains(path)) {
        let names_a_clock =
            read(&path).all_paths().iter().any(|path| path.iter().any(|part| part == "SystemTime" || part == "clock"));
        let shown = shown(&path);
        if names_a_clock && !CLOCKS.iter().any(|(file, _)| *file == shown) {
            complaints.push(format!("{shown}: `SystemTime`: a clock may be set back at any time; take `Instant`"));
        }
    }
    none(complaints);
}

#[test]
fn nothing_unwraps_outside_tests() {
    let mut complaints = Vec::new();
    for folder in ["netabase/src", "netabase-macros/src", "examples/src"] {
        let files = rust_files(&root().join(folder));
        let tests = test_files(&files);
        for path in files.into_iter().filter(|path| !is_test_file(path) && !tests.contains(path)) {
            if read(&path).unwraps_outside_tests() {
                complaints.push(format!("{}: `unwrap()`: name the invariant with `expect`", shown(&path)));
            }
        }
    }
    none(complaints);
}

#[test]
fn no_file_is_too_long() {
    let mut complaints = Vec::new();
    for path in workspace_files() {
        let lines = fs::read_to_string(&path).expect("it was listed").lines().count();
        let shown = shown(&path);
        if lines > LINES_MAX && !LONGER.iter().any(|(file, _)| *file == shown) {
            complaints.push(format!("{shown}: {lines} lines, {LINES_MAX} at most: which noun is it split by?"));
        }
    }
    for (file, reason) in LONGER {
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        if text.lines().count() <= LINES_MAX {
            complaints.push(format!("{file} is no longer too long ({reason}): take it off the list"));
        }
    }
    none(complaints);
}

#[test]
fn no_file_is_dead() {
    let files = workspace_files();
    let mut alive: BTreeSet<PathBuf> = files.iter().filter(|path| is_target(path)).cloned().collect();
    let mut open: Vec<PathBuf> = alive.iter().cloned().collect();
    while let Some(path) = open.pop() {
        for module in modules_declared(&read(&path), &path, is_target(&path)) {
            if module.exists() && alive.insert(module.clone()) {
                open.push(module);
            }
        }
    }
    none(
        files
            .iter()
            .filter(|path| !alive.contains(*path))
            .map(|path| format!("{}: no `mod` leads here: delete it, or declare it", shown(path)))
            .collect(),
    );
}

#[test]
fn the_readme_names_the_commands_that_ci_runs() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    let ci = fs::read_to_string(root().join(".ci/run")).expect("there is a CI script");
    let tests: Vec<&str> = ci.lines().filter(|line| line.starts_with("cargo nextest run ")).collect();
    assert_eq!(tests.len(), 1, "CI runs the tests once: {tests:?}");
    assert!(readme.contains(tests[0]), "README.md does not name `{}`", tests[0]);
    assert!(readme.contains("cargo run -p netabase-examples --bin packages"));
}

/// Checks that cannot fail are worth nothing.
#[test]
fn the_checks_see_what_they_look_for() {
    let store = ["storage".to_owned(), "redb".to_owned()];
    for (text, complains) in [
        ("use crate::schema::Plan;", false),
        ("use crate::error::Error;", false),
        ("use crate::Error;", false),
        ("use super::layout;", false),
        ("use crate::network::Channel;", true),
        ("use crate::{schema, network::Channel};", true),
        ("use super::super::network;", true),
        ("fn f() { crate::consensus::go() }", true),
        ("fn f() { println!(\"{}\", crate::machine::VERSION) }", true),
        ("#[cfg(test)] mod tests { use crate::testing::ForgetfulDisk; }", false),
        ("mod inner { use super::super::super::network; }", true),
        ("mod inner { use super::super::schema; }", false),
        ("// crate::network is far away", false),
    ] {
        let complaints = forbidden_uses(&store, &Source::parse(text).expect(text), "a file");
        assert_eq!(!complaints.is_empty(), complains, "{text}: {complaints:?}");
    }
    let consensus = ["consensus".to_owned()];
    for (text, complains) in [("use crate::schema::codec;", false), ("use crate::schema::Plan;", true)] {
        let complaints = forbidden_uses(&consensus, &Source::parse(text).expect(text), "a file");
        assert_eq!(!complaints.is_empty(), complains, "{text}: {complaints:?}");
    }
    for (text, complains) in [
        ("fn f() { std::thread::sleep(d) }", true),
        ("use std::thread; fn f() { thread::sleep(d) }", true),
        ("fn f() { tokio::time::sleep(d) }", false),
        ("use tokio::sync::mpsc::unbounded_channel;", true),
        ("fn f() { select! { _ = futures::channel::mpsc::unbounded() => {} } }", true),
    ] {
        let complaints = banned_names(&Source::parse(text).expect(text), "a file");
        assert_eq!(!complaints.is_empty(), complains, "{text}: {complaints:?}");
    }
    for (text, unwraps) in [
        ("fn f() { x.unwrap() }", true),
        ("fn f() { vec![x.unwrap()] }", true),
        ("fn f() { x.unwrap_or(1) }", false),
        ("#[cfg(test)] mod tests { fn f() { x.unwrap() } }", false),
        ("#[test] fn f() { x.unwrap() }", false),
    ] {
        assert_eq!(Source::parse(text).expect(text).unwraps_outside_tests(), unwraps, "{text}");
    }
}

fn forbidden_uses(module: &[String], source: &Source, file: &str) -> Vec<String> {
    let Some(own) = module.first() else { return Vec::new() };
    // A file `fuzz.rs` is the part of `fuzzing` that needs the private names of its module.
    let is_outside = |part: &String| part == "tests" || part == "fuzz";
    if OUTSIDE.contains(&own.as_str()) || module.iter().any(is_outside) {
        return Vec::new();
    }
    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| name == own) else {
        return vec![format!("{file}: the module `{own}` is not in the table: say what it may use")];
    };
    let known = |name: &str| MAY_USE.iter().any(|(module, _)| *module == name) || OUTSIDE.contains(&name);
    source
        .crate_paths(module)
        .into_iter()
        // A name that is no module is an item at the crate's root, such as `Error`.
        .filter(|path| path[0] != *own && path[0] != "error" && known(&path[0]))
        .map(|path| path.join("::"))
        .filter(|path| {
            !may_use
                .iter()
                .any(|allowed| path == allowed || path.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::")))
        })
        .map(|path| format!("{file}: `{own}` may not use `{path}`"))
        .collect()
}

fn banned_names(source: &Source, file: &str) -> Vec<String> {
    let paths = source.all_paths();
    BANNED
        .iter()
        .filter(|(banned, _)| {
            let banned: Vec<&str> = banned.split("::").collect();
            paths.iter().any(|path| path.windows(banned.len()).any(|part| part.iter().eq(&banned)))
        })
        .map(|(banned, reason)| format!("{file}: `{banned}` is banned: {reason}"))
        .collect()
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string().replace('\\', "/")
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("it was listed");
    Source::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}

/// All Rust files of the workspace that Cargo builds: not those that only the compile-fail tests read.
fn workspace_files() -> Vec<PathBuf> {
    let folders = ["netabase", "netabase-macros", "tests", "ui-tests/src", "ui-tests/tests", "examples"];
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| rust_files(&root().join(folder))).collect();
    files.sort();
    files
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return files };
    for entry in entries {
        let path = entry.expect("the folder stays").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Whether Cargo starts to compile here.
fn is_target(path: &Path) -> bool {
    let Some(folder) = path.parent() else { return false };
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let in_package = |folder: &Path| folder.parent().is_some_and(|package| package.join("Cargo.toml").exists());
    match name(folder).as_str() {
        "tests" | "benches" if in_package(folder) => true,
        "src" if in_package(folder) => {
            ["lib.rs", "main.rs"].contains(&name(path).as_str()) || named_in_manifest(folder, path)
        }
        "bin" => true,
        _ if name(path) == "main.rs"
            && folder.parent().is_some_and(|tests| name(tests) == "tests" && in_package(tests)) =>
        {
            true
        }
        _ => folder.ancestors().find(|folder| name(folder) == "src").is_some_and(|src| named_in_manifest(src, path)),
    }
}

fn named_in_manifest(src: &Path, path: &Path) -> bool {
    let Some(package) = src.parent() else { return false };
    let Ok(manifest) = fs::read_to_string(package.join("Cargo.toml")) else { return false };
    let Ok(relative) = path.strip_prefix(package) else { return false };
    manifest.contains(&format!("path = \"{}\"", relative.display()))
}

/// `netabase/src/storage/redb.rs` -> `storage::redb`.
fn module_path(sources: &Path, path: &Path) -> Vec<String> {
    let relative = path.strip_prefix(sources).unwrap_or(path).with_extension("");
    let mut parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The files that only tests see, and all below them.
fn test_files(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open: Vec<PathBuf> =
        files.iter().flat_map(|path| test_modules_declared(&read(path), path, is_target(path))).collect();
    while let Some(path) = open.pop() {
        if path.exists() && found.insert(path.clone()) {
            open.extend(modules_declared(&read(&path), &path, false));
        }
    }
    found
}

fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}
