//! Asks one node what a user would ask, and compares every answer with the file.

use std::collections::{BTreeMap, HashSet};

use indicatif::HumanCount;

use crate::{
    cluster::Cluster,
    failure::Failure,
    input::Input,
    load::Load,
    protocol::{Reply, Request},
    schema::{Dependency, Package},
};

/// How many rows of an answer are printed.
const SHOWN: usize = 5;
/// How many are the largest.
const LARGEST: usize = 10;
/// Records in one page of the full comparison.
const PAGE_RECORDS: usize = 2_000;

pub(crate) async fn queries(cluster: &mut Cluster, node: usize, input: &Input) -> Result<(), Failure> {
    let on = "libc6".to_owned();
    let mut expected: Vec<_> = input.dependencies.iter().filter(|dependency| dependency.on == on).cloned().collect();
    expected.sort_by(|a, b| (&a.package, a.position).cmp(&(&b.package, b.position)));
    let dependents = dependencies(cluster, node, Request::Dependents { on: on.clone() }).await?;
    compare("the packages that depend on libc6", &dependents, &expected)?;
    println!("{} packages depend on {on}: {}", dependents.len(), some(dependents.iter().map(|one| &one.package)));

    let section = most_frequent_section(input);
    let mut expected: Vec<_> = input.packages.iter().filter(|package| package.section == section).cloned().collect();
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    let mut members = packages(cluster, node, Request::OfSection { section: section.clone() }).await?;
    compare("the packages of a section", &members, &expected)?;
    members.sort_by_key(|package| std::cmp::Reverse(package.installed_size_kib));
    println!("the {LARGEST} largest of the {} packages of the section {section}:", members.len());
    for package in members.iter().take(LARGEST) {
        println!("  {:>9} KiB  {} {}", package.installed_size_kib, package.name, package.version);
    }

    let prefix = "lib".to_owned();
    let mut expected: Vec<_> =
        input.packages.iter().filter(|package| package.name.starts_with(&prefix)).cloned().collect();
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    let named = packages(cluster, node, Request::NamesThatStartWith { prefix: prefix.clone() }).await?;
    compare("the names that start with lib", &named, &expected)?;
    println!("{} names start with {prefix}: {}", named.len(), some(named.iter().map(|one| &one.name)));
    Ok(())
}

/// Reads everything back, page by page in key order.
pub(crate) async fn everything(cluster: &mut Cluster, node: usize, input: &Input) -> Result<(), Failure> {
    let mut expected = input.packages.clone();
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    let mut read: Vec<Package> = Vec::with_capacity(expected.len());
    loop {
        let after = read.last().map(|package| package.name.clone());
        let page = packages(cluster, node, Request::Packages { after, limit: PAGE_RECORDS }).await?;
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    compare("all packages", &read, &expected)?;

    let mut expected = input.dependencies.clone();
    expected.sort_by(|a, b| (&a.package, a.position).cmp(&(&b.package, b.position)));
    let mut read: Vec<Dependency> = Vec::with_capacity(expected.len());
    loop {
        let after = read.last().map(|dependency| (dependency.package.clone(), dependency.position));
        let page = dependencies(cluster, node, Request::Dependencies { after, limit: PAGE_RECORDS }).await?;
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    compare("all dependencies", &read, &expected)
}

pub(crate) fn summary(input: &Input, load: &Load, round: u64, hash: &str) -> String {
    format!(
        "{} packages and {} dependencies on three nodes in {:.1} s ({:.0} records/s); the leader was killed after {} and \
         writes stalled for {} ms; all three are at round {round} with state hash {}; every record reads back equal",
        HumanCount(input.packages.len() as u64),
        HumanCount(input.dependencies.len() as u64),
        load.took.as_secs_f64(),
        load.records as f64 / load.took.as_secs_f64(),
        HumanCount(load.killed_after as u64),
        load.stalled.as_millis(),
        hash.get(..16).unwrap_or(hash),
    )
}

fn compare<R: PartialEq + std::fmt::Debug>(what: &str, read: &[R], expected: &[R]) -> Result<(), Failure> {
    if let Some((read, expected)) = read.iter().zip(expected).find(|(read, expected)| read != expected) {
        return Err(Failure::new(format!("{what}: read {read:?} where the file has {expected:?}")));
    }
    if read.len() != expected.len() {
        return Err(Failure::new(format!("{what}: read {} records, the file has {}", read.len(), expected.len())));
    }
    Ok(())
}

async fn packages(cluster: &mut Cluster, node: usize, request: Request) -> Result<Vec<Package>, Failure> {
    match cluster.node(node).ask(&request).await {
        Ok(Reply::Packages(packages)) => Ok(packages),
        Ok(other) => Err(Failure::new(format!("{request:?} was answered with {other:?}"))),
        Err(refusal) => Err(cluster.node(node).explain("could not answer", &refusal)),
    }
}

async fn dependencies(cluster: &mut Cluster, node: usize, request: Request) -> Result<Vec<Dependency>, Failure> {
    match cluster.node(node).ask(&request).await {
        Ok(Reply::Dependencies(dependencies)) => Ok(dependencies),
        Ok(other) => Err(Failure::new(format!("{request:?} was answered with {other:?}"))),
        Err(refusal) => Err(cluster.node(node).explain("could not answer", &refusal)),
    }
}

/// The first by name where several are as frequent.
fn most_frequent_section(input: &Input) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for package in &input.packages {
        *counts.entry(&package.section).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(section, _)| section.to_owned()).unwrap_or_default()
}

/// The first few names, each once.
fn some<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut seen = HashSet::new();
    let mut shown: Vec<&str> = names.map(String::as_str).filter(|name| seen.insert(*name)).take(SHOWN + 1).collect();
    if shown.len() > SHOWN {
        shown[SHOWN] = "…";
    }
    shown.join(", ")
}
