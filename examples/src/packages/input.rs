//! Reads package records from a file of JSON lines. Every complaint names the file and the line.

use std::{
    collections::{HashMap, HashSet},
    fmt, fs,
    io::{self, BufRead},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::schema::{Dependency, Package};

/// What the file holds, in its order.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) packages: Vec<Package>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// Why the file cannot be used.
#[derive(Debug)]
pub(crate) enum InputError {
    File { path: PathBuf, source: io::Error },
    Line { path: PathBuf, line: usize, reason: String },
    Empty { path: PathBuf },
}

impl fmt::Display for InputError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputError::File { path, source } => write!(out, "cannot read `{}`: {source}", path.display()),
            InputError::Line { path, line, reason } => write!(out, "`{}`, line {line}: {reason}", path.display()),
            InputError::Empty { path } => write!(
                out,
                "`{}` holds no package: it must be JSON lines such as \
                 {{\"name\":\"a\",\"version\":\"1\",\"section\":\"libs\",\"priority\":\"optional\",\
                 \"installed_size_kib\":1,\"download_bytes\":1,\"depends\":[\"b\"]}}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for InputError {}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    name: String,
    version: String,
    section: String,
    priority: String,
    installed_size_kib: u64,
    download_bytes: u64,
    depends: Vec<String>,
}

pub(crate) fn read(path: &Path) -> Result<Input, InputError> {
    let file = fs::File::open(path).map_err(|source| InputError::File { path: path.into(), source })?;
    parse(path, io::BufReader::new(file))
}

fn parse(path: &Path, lines: impl BufRead) -> Result<Input, InputError> {
    let mut input = Input { packages: Vec::new(), dependencies: Vec::new() };
    let mut line_of_name = HashMap::new();
    for (index, line) in lines.lines().enumerate() {
        let number = index + 1;
        let bad = |reason| InputError::Line { path: path.into(), line: number, reason };
        let line = match line {
            Ok(line) => line,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(bad("it is not UTF-8".into())),
            Err(source) => return Err(InputError::File { path: path.into(), source }),
        };
        if line.trim().is_empty() {
            continue;
        }
        let Line { name, version, section, priority, installed_size_kib, download_bytes, depends } =
            serde_json::from_str(&line).map_err(|error| bad(reason_without_line(&error)))?;
        if name.is_empty() {
            return Err(bad("the package has an empty name".into()));
        }
        if let Some(first) = line_of_name.insert(name.clone(), number) {
            return Err(bad(format!("the package `{name}` was already on line {first}")));
        }
        // A package that names another twice depends on it once, where it named it first.
        let mut seen = HashSet::new();
        let once = depends.into_iter().filter(|on| seen.insert(on.clone()));
        input.dependencies.extend((0..).zip(once).map(|(position, on)| Dependency {
            package: name.clone(),
            position,
            on,
        }));
        input.packages.push(Package { name, version, section, priority, installed_size_kib, download_bytes });
    }
    if input.packages.is_empty() { Err(InputError::Empty { path: path.into() }) } else { Ok(input) }
}

/// serde_json counts lines in the text it was given, which here is always one line.
fn reason_without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => format!("{reason} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"name":"a","version":"1","section":"libs","priority":"optional","installed_size_kib":1,"download_bytes":2,"depends":["c","b","c"]}"#;

    fn parse_text(text: impl AsRef<[u8]>) -> Result<Input, String> {
        parse(Path::new("p.jsonl"), text.as_ref()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_dependency_named_twice_is_one_and_keeps_its_first_place() {
        let input = parse_text(format!("\n{GOOD}\n\n")).unwrap();
        assert_eq!(input.packages.len(), 1);
        let dependencies: Vec<_> = input.dependencies.iter().map(|one| (one.position, one.on.as_str())).collect();
        assert_eq!(dependencies, [(0, "c"), (1, "b")]);
    }

    #[test]
    fn every_complaint_names_the_line() {
        for (text, complaint) in [
            (format!("{GOOD}\n{{\"name\":"), "`p.jsonl`, line 2: EOF while parsing a value (column 8)"),
            (format!("{GOOD}\n\n{GOOD}"), "`p.jsonl`, line 3: the package `a` was already on line 1"),
            (GOOD.replace("\"a\"", "\"\""), "`p.jsonl`, line 1: the package has an empty name"),
            (GOOD.replace("\"section\":\"libs\",", ""), "`p.jsonl`, line 1: missing field `section`"),
            (GOOD.replace(":2,", ":-2,"), "`p.jsonl`, line 1: invalid value: integer `-2`, expected u64"),
            ("\n".into(), "`p.jsonl` holds no package"),
        ] {
            let error = parse_text(&text).unwrap_err();
            assert!(error.starts_with(complaint), "{error}");
        }
        assert_eq!(parse_text(b"\xff\xfe").unwrap_err(), "`p.jsonl`, line 1: it is not UTF-8");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("no/such/file")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read `no/such/file`: "), "{error}");
    }

    #[test]
    fn the_sample_is_what_its_readme_says() {
        let input = read(Path::new(crate::SAMPLE)).unwrap();
        assert_eq!((input.packages.len(), input.dependencies.len()), (3_000, 13_269));
        assert!(input.packages.iter().filter(|package| package.name.starts_with("lib")).count() > 100);
        assert!(input.dependencies.iter().filter(|dependency| dependency.on == "libc6").count() > 100);
        assert!(input.packages.iter().map(|package| &package.section).collect::<HashSet<_>>().len() > 10);
    }
}
