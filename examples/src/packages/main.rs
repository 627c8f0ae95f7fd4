//! Three node processes take in the package records of a Debian archive, lose their leader half way, and
//! end with the same state, byte for byte.
//!
//! ```text
//! cargo run -p netabase-examples --bin packages [-- FILE] [--dir DIR] [--seed N]
//! ```
//! `FILE`: JSON lines as in `examples/data`, which is the default. `DIR`: where the nodes keep their data,
//! empty or new; default a temporary directory, removed at the end. `N` says when the leader is killed.
//! The exit code is 0 only if every answer and every record was equal to the file's.

mod cluster;
mod failure;
mod input;
mod load;
mod node;
mod protocol;
mod report;
mod schema;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use cluster::Cluster;
use failure::Failure;
use load::Plan;

/// The file that is loaded when none is named.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/packages-sample.jsonl");

const USAGE: &str = "usage: packages [FILE] [--dir DIR] [--seed N]";

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "node") {
        return node::run(arguments.split_off(1)).await;
    }
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    file: PathBuf,
    dir: Option<PathBuf>,
    seed: u64,
}

async fn run(arguments: Vec<OsString>) -> Result<(), Failure> {
    let options = options(arguments)?;
    let input = input::read(&options.file)?;
    println!(
        "{}: {} packages, {} dependencies",
        options.file.display(),
        input.packages.len(),
        input.dependencies.len()
    );

    let temporary;
    let dir = match &options.dir {
        Some(dir) => {
            must_be_empty(dir)?;
            dir.as_path()
        }
        None => {
            temporary = tempfile::tempdir()
                .map_err(|error| Failure::new(format!("cannot make a temporary directory: {error}")))?;
            temporary.path()
        }
    };
    println!("three nodes in {}, seed {}", dir.display(), options.seed);
    let mut cluster = Cluster::start(dir).await?;

    let load = load::load(&mut cluster, &input, &Plan::of_seed(options.seed)).await?;
    let (round, hash) = cluster.same_state().await?;
    // The node that was killed has the most to get wrong, so it is the one that is asked.
    report::queries(&mut cluster, load.killed, &input).await?;
    report::everything(&mut cluster, load.killed, &input).await?;
    cluster.shutdown().await?;
    println!("{}", report::summary(&input, &load, round, &hash));
    Ok(())
}

fn options(arguments: Vec<OsString>) -> Result<Options, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64 % 1_000_000);
    let mut options = Options { file: SAMPLE.into(), dir: None, seed: now };
    let mut arguments = arguments.into_iter();
    let mut file = None;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| Failure::new(USAGE));
        match argument.to_str() {
            Some("--dir") => options.dir = Some(value()?.into()),
            Some("--seed") => {
                let text = value()?;
                options.seed = text
                    .to_str()
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(|| Failure::new(format!("`--seed` takes a whole number, not {text:?}\n{USAGE}")))?;
            }
            Some("-h" | "--help") => return Err(Failure::new(USAGE)),
            Some(option) if option.starts_with('-') => {
                return Err(Failure::new(format!("there is no option `{option}`\n{USAGE}")));
            }
            _ if file.is_none() => file = Some(argument.into()),
            _ => return Err(Failure::new(format!("one file at a time\n{USAGE}"))),
        }
    }
    options.file = file.unwrap_or(options.file);
    Ok(options)
}

fn must_be_empty(dir: &Path) -> Result<(), Failure> {
    let cannot = |error| Failure::new(format!("cannot use `{}`: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(cannot)?;
    if fs::read_dir(dir).map_err(cannot)?.next().is_some() {
        return Err(Failure::new(format!("`{}` is not empty: name a new directory", dir.display())));
    }
    Ok(())
}
